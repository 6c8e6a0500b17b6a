package expiry

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseSpan reads a length of time in days, weeks, years or Go's units: 90d, 2w, 10y, 36h.
func ParseSpan(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'d': day, 'w': 7 * day, 'y': 365 * day}
	wrong := fmt.Errorf("%q is not a length of time such as 90d, 2w, 10y or 36h", s)
	if s != "" {
		if unit, ok := units[s[len(s)-1]]; ok {
			var n int64
			if _, err := fmt.Sscanf(s[:len(s)-1]+"\n", "%d\n", &n); err != nil || n < 0 || n > int64(250*365*day/unit) {
				return 0, wrong
			}
			return time.Duration(n) * unit, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, wrong
	}
	return d, nil
}

// A Threshold says how long before its end something becomes due: a length of time, or a share of its lifetime.
type Threshold struct {
	Left time.Duration
	// Share is of the lifetime, from 0 to 1; where it is set, Left does not count.
	Share float64
}

// ParseThreshold reads "20%", or a length of time by the given function.
func ParseThreshold(s string, span func(string) (time.Duration, error)) (Threshold, error) {
	if text, ok := strings.CutSuffix(s, "%"); ok {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n < 0 || n > 100 || math.IsNaN(n) {
			return Threshold{}, fmt.Errorf("%q is no share from 0%% to 100%%", s)
		}
		return Threshold{Share: n / 100}, nil
	}
	left, err := span(s)
	return Threshold{Left: left}, err
}

// of gives the time before the end. A length of time counts for no more than half the lifetime: what lives shorter than
// the threshold would be due from its first day on.
func (t Threshold) of(lifetime time.Duration) time.Duration {
	if t.Share > 0 {
		return time.Duration(t.Share * float64(lifetime))
	}
	return min(t.Left, lifetime/2)
}

// Due reports whether something that lives between two moments is due.
func (t Threshold) Due(notBefore, notAfter, now time.Time) bool {
	return notAfter.Sub(now) < t.of(notAfter.Sub(notBefore))
}
