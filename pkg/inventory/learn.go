package inventory

import (
	"context"
	"fmt"
	"time"
)

const doingLearn = "taking revocations into the inventory"

// LearnRevoked takes in what a revocation list of the authority says and the inventory does not know: after a backup was
// restored, or another program has made a list. Those that are revoked already keep date and reason; of a serial number that
// is not known nothing but that is recorded (Foreign, without a certificate). The authority's next list has a higher number and a
// later date than last, whose number may be nil. All is written or nothing, and it can be repeated.
func (inv *Inventory) LearnRevoked(ctx context.Context, authority string, revoked []RevokedKey, last ListStamp) error {
	if len(revoked) == 0 && last.Number == nil {
		return nil
	}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return inv.wrap(doingLearn, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	for _, r := range revoked {
		if r.Authority != authority {
			return inv.wrap(doingLearn, fmt.Errorf("certificate %s is another authority's", r.Serial))
		}
		serial, err := r.decimal()
		if err != nil {
			return inv.wrap(doingLearn, err)
		}
		at, reason := r.At.UTC().Truncate(time.Second), max(r.Reason, 0) // a list need not give one
		if _, err := tx.ExecContext(ctx, tx.Rebind(insertCertificates+values(1, certificateColumns)+` ON CONFLICT DO NOTHING`),
			serial, authority, "", "revoked", reason, nil, at, "", nil, nil, "{}", "[]", ""); err != nil {
			return inv.wrap(doingLearn, err)
		}
		if _, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE certificates SET status = 'revoked', revoked_at = ?, reason = ?
			WHERE serial_number = ? AND authority_key_identifier = ? AND status <> 'revoked'`), at, reason, serial, authority); err != nil {
			return inv.wrap(doingLearn, err)
		}
	}
	if last.Number != nil {
		if _, err := inv.raise(ctx, tx, dumpedList{authority, last.Number.String(), last.ThisUpdate.Unix(), last.NextUpdate.Unix()}, 0); err != nil {
			return inv.wrap(doingLearn, err)
		}
	}
	return inv.wrap(doingLearn, tx.Commit())
}
