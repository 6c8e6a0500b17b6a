package cluster

import (
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// A ClockError says that the clock is behind what the inventory has seen.
type ClockError struct{ Now, Seen time.Time }

// Error gives both times.
func (e *ClockError) Error() string {
	return fmt.Sprintf("it is %s by this machine's clock, but the inventory has a certificate of %s",
		e.Now.UTC().Format("2006-01-02 15:04:05"), e.Seen.UTC().Format("2006-01-02 15:04:05"))
}

// Hints names the remedy.
func (e *ClockError) Hints() []string { return []string{"set the clock: timedatectl"} }

// maxClockSkew is how far apart the clocks of those who share an inventory may be.
const maxClockSkew = 10 * time.Minute

// CheckClock reports a clock that was set back: by it, certificates would seem to begin in the future, and those that are due
// would not.
func (k Known) CheckClock(now time.Time) error {
	for _, e := range k.Entries {
		if e.Created.Sub(now) > maxClockSkew && e.State != inventory.Foreign {
			return &ClockError{now, e.Created}
		}
	}
	return nil
}
