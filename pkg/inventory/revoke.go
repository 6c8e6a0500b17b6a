package inventory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	doingRevoke = "revoking in the inventory"
	doingNumber = "numbering a revocation list in the inventory"
)

// A RevokedError says that a certificate is revoked already. The first revocation stands: its date is what counts when a
// misuse is looked into.
type RevokedError struct {
	Key        Key
	Revocation Revocation
}

// Error gives the date.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %s has been revoked already, on %s", e.Key.Serial, e.Revocation.At.Format(time.RFC3339))
}

// Revoke notes that a certificate is no longer good, with a reason of RFC 5280, 5.3.1. One that is revoked already keeps its
// date and reason and gives a *RevokedError. (cfssl's certdb would overwrite both.)
func (inv *Inventory) Revoke(ctx context.Context, k Key, at time.Time, reason int) error {
	return inv.RevokeAll(ctx, []Key{k}, at, reason)
}

// RevokeAll is Revoke for several certificates, of which all are revoked or none.
func (inv *Inventory) RevokeAll(ctx context.Context, keys []Key, at time.Time, reason int) error {
	if reason < 0 || reason > 10 || reason == 7 || reason == 8 {
		return inv.wrap(doingRevoke, fmt.Errorf("%d is no reason for a revocation (RFC 5280, 5.3.1)", reason))
	}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return inv.wrap(doingRevoke, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	for _, k := range keys {
		if err := revokeOne(ctx, tx, k, at, reason); err != nil {
			return inv.wrap(doingRevoke, err)
		}
	}
	return inv.wrap(doingRevoke, tx.Commit())
}

// revokeOne changes the row as cfssl's accessor does (certdb/sql, revokeSQL), if it is not revoked yet. Seconds are all that
// a revocation list keeps.
func revokeOne(ctx context.Context, tx *sqlx.Tx, k Key, at time.Time, reason int) error {
	serial, err := k.decimal()
	if err != nil {
		return err
	}
	const one = ` WHERE serial_number = ? AND authority_key_identifier = ?`
	result, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE certificates SET status = 'revoked', revoked_at = ?, reason = ?`+one+
		` AND status <> 'revoked'`), at.UTC().Truncate(time.Second), reason, serial, k.Authority)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	var row struct {
		At     sql.NullTime  `db:"revoked_at"`
		Reason sql.NullInt64 `db:"reason"`
	}
	switch err := tx.GetContext(ctx, &row, tx.Rebind(`SELECT revoked_at, reason FROM certificates`+one), serial, k.Authority); {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("serial number %s: %w", k.Serial, ErrNotFound)
	case err != nil:
		return err
	}
	return &RevokedError{k, Revocation{utc(row.At), int(row.Reason.Int64)}}
}

// Revoked gives all entries of an authority that are revoked, oldest first; of all authorities for "".
func (inv *Inventory) Revoked(ctx context.Context, authority string) ([]Entry, error) {
	where, args := []string{"c.status = 'revoked'"}, []any(nil)
	if authority != "" {
		where, args = append(where, "c.authority_key_identifier = ?"), append(args, authority)
	}
	return inv.list(ctx, where, args)
}

// A ListStamp is what makes revocation lists come one after the other.
type ListStamp struct {
	// Number is the cRLNumber.
	Number *big.Int
	// ThisUpdate and NextUpdate are the list's dates.
	ThisUpdate, NextUpdate time.Time
}

// A NumberedList is what the next revocation list of an authority is to say.
type NumberedList struct {
	ListStamp
	// Revoked are the certificates that are on it.
	Revoked []RevokedKey
}

// A RevokedKey is one line of a revocation list.
type RevokedKey struct {
	Key
	Revocation
}

// A ClockError says that a revocation list would be older than one that was made before.
type ClockError struct {
	// Now is what the clock says, Last the date of the last list.
	Now, Last time.Time
}

// Error gives both times.
func (e *ClockError) Error() string {
	return fmt.Sprintf("the last revocation list is of %s, and the clock says %s", e.Last.Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

// Hints names the remedy.
func (e *ClockError) Hints() []string { return []string{"is the clock right? date -u"} }

// clockSlack is how far lists that are made in quick succession may run ahead of the clock.
const clockSlack = time.Minute

// NextList takes the number of an authority's next revocation list and gives what is revoked at that moment, in one
// transaction: numbers and dates rise strictly, whatever processes do this at a time, and a list with a higher number never
// says less. The number is at least atLeast, which may be nil; thisUpdate is now, or one second after the last list's. A
// number is spent even if no list comes of it.
func (inv *Inventory) NextList(ctx context.Context, authority string, now time.Time, life time.Duration, atLeast *big.Int) (NumberedList, error) {
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return NumberedList{}, inv.wrap(doingNumber, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	// A row to lock must be there first.
	if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO revocation_list (authority_key_identifier, number, this_update, next_update)
		VALUES (?, '0', 0, 0) ON CONFLICT DO NOTHING`), authority); err != nil {
		return NumberedList{}, inv.wrap(doingNumber, err)
	}
	last, err := inv.stamp(ctx, tx, authority, inv.dialect.forUpdate())
	if err != nil {
		return NumberedList{}, inv.wrap(doingNumber, err)
	}
	list := NumberedList{ListStamp: ListStamp{Number: last.Number.Add(last.Number, big.NewInt(1)), ThisUpdate: now.UTC().Truncate(time.Second)}}
	if atLeast != nil && list.Number.Cmp(atLeast) < 0 {
		list.Number.Set(atLeast)
	}
	if !list.ThisUpdate.After(last.ThisUpdate) {
		if last.ThisUpdate.Sub(list.ThisUpdate) >= clockSlack {
			return NumberedList{}, inv.wrap(doingNumber, &ClockError{now, last.ThisUpdate})
		}
		list.ThisUpdate = last.ThisUpdate.Add(time.Second)
	}
	list.NextUpdate = list.ThisUpdate.Add(life)
	if _, err := tx.ExecContext(ctx, tx.Rebind(`UPDATE revocation_list SET number = ?, this_update = ?, next_update = ?
		WHERE authority_key_identifier = ?`), list.Number.String(), list.ThisUpdate.Unix(), list.NextUpdate.Unix(), authority); err != nil {
		return NumberedList{}, inv.wrap(doingNumber, err)
	}
	var rows []struct {
		Serial string        `db:"serial_number"`
		At     sql.NullTime  `db:"revoked_at"`
		Reason sql.NullInt64 `db:"reason"`
	}
	if err := tx.SelectContext(ctx, &rows, tx.Rebind(`SELECT serial_number, revoked_at, reason FROM certificates
		WHERE status = 'revoked' AND authority_key_identifier = ?`), authority); err != nil {
		return NumberedList{}, inv.wrap(doingNumber, err)
	}
	for _, r := range rows {
		key, err := recordedKey(r.Serial, authority)
		if err != nil {
			return NumberedList{}, inv.wrap(doingNumber, err)
		}
		at := utc(r.At)
		if at.Year() < 1950 { // cfssl's zero time, which a list cannot say
			at = list.ThisUpdate
		}
		list.Revoked = append(list.Revoked, RevokedKey{key, Revocation{at, int(r.Reason.Int64)}})
	}
	return list, inv.wrap(doingNumber, tx.Commit())
}

// LastList gives number and dates of the last list of an authority that NextList was asked for; ErrNotFound if there is none.
func (inv *Inventory) LastList(ctx context.Context, authority string) (ListStamp, error) {
	s, err := inv.stamp(ctx, inv.db, authority, "")
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("no revocation list was made yet: %w", ErrNotFound)
	}
	return s, inv.wrap(doingRead, err)
}

// stamp reads the row of an authority.
func (inv *Inventory) stamp(ctx context.Context, q sqlx.QueryerContext, authority, lock string) (ListStamp, error) {
	var row struct {
		Number string `db:"number"`
		This   int64  `db:"this_update"`
		Next   int64  `db:"next_update"`
	}
	if err := sqlx.GetContext(ctx, q, &row, inv.db.Rebind(`SELECT number, this_update, next_update FROM revocation_list
		WHERE authority_key_identifier = ?`)+lock, authority); err != nil {
		return ListStamp{}, err
	}
	n, ok := new(big.Int).SetString(row.Number, 10)
	if !ok {
		return ListStamp{}, fmt.Errorf("revocation list number %q is no decimal number", row.Number)
	}
	return ListStamp{n, time.Unix(row.This, 0).UTC(), time.Unix(row.Next, 0).UTC()}, nil
}
