package inventory

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// insertCertificates fills certdb's table as cfssl's accessor does (certdb/sql, insertSQL). The accessor itself does not
// serve here: it knows neither transactions nor contexts, and hides the kind of failure.
const insertCertificates = `INSERT INTO certificates (serial_number, authority_key_identifier, ca_label, status, reason,
	expiry, revoked_at, pem, issued_at, not_before, metadata, sans, common_name)
VALUES `

// insertIdentities fills our table.
const insertIdentities = `INSERT INTO identity (serial_number, authority_key_identifier, host, role, layout, key_id,
	subject, names, addresses, state, created_at)
VALUES `

// Columns of the two tables, and how many rows one statement takes: a statement for each row would cost a third more.
const (
	certificateColumns = 13
	identityColumns    = 11
	rowsAtOnce         = 20
)

// values gives the VALUES of n rows.
func values(n, columns int) string {
	row := "(" + strings.Repeat("?,", columns-1) + "?)"
	return strings.Repeat(row+",", n-1) + row
}

// Record writes certificates down, all of them or none. An entry without a State is Issued. One that is Foreign goes into
// certdb's table only, as if another program had written it there. When Record returns nil, the entries are on the disk. A serial number that is known already gives a *DuplicateError.
func (inv *Inventory) Record(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	certificates, identities, err := rows(entries)
	if err != nil {
		return inv.wrap(doingRecord, err)
	}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return inv.wrap(doingRecord, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	for _, table := range []struct {
		insert  string
		columns int
		args    []any
	}{
		{insertCertificates, certificateColumns, certificates},
		{insertIdentities, identityColumns, identities},
	} {
		if err := insert(ctx, tx, table.insert, table.columns, table.args); err != nil {
			if isUnique(err) {
				err = inv.whichDuplicate(ctx, tx, entries, err)
			}
			return inv.wrap(doingRecord, err)
		}
	}
	return inv.wrap(doingRecord, tx.Commit())
}

// insert inserts rows, rowsAtOnce by rowsAtOnce.
func insert(ctx context.Context, tx *sqlx.Tx, statement string, columns int, args []any) error {
	if full := rowsAtOnce * columns; len(args) >= full {
		many, err := tx.PreparexContext(ctx, tx.Rebind(statement+values(rowsAtOnce, columns)))
		if err != nil {
			return err
		}
		defer many.Close()
		for ; len(args) >= full; args = args[full:] {
			if _, err := many.ExecContext(ctx, args[:full]...); err != nil {
				return err
			}
		}
	}
	if len(args) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, tx.Rebind(statement+values(len(args)/columns, columns)), args...)
	return err
}

// whichDuplicate finds the entry that made the insertion fail: one that is twice in the batch, or one that was there
// before. The transaction is ended first, because it may hold a part of the batch.
func (inv *Inventory) whichDuplicate(ctx context.Context, tx *sqlx.Tx, entries []Entry, failure error) error {
	if err := tx.Rollback(); err != nil {
		return failure
	}
	seen := map[Key]bool{}
	for _, e := range entries {
		if seen[e.Key] {
			return &DuplicateError{e.Key}
		}
		seen[e.Key] = true
		if _, err := inv.Get(ctx, e.Key); err == nil {
			return &DuplicateError{e.Key}
		}
	}
	return failure
}

// rows gives the values of the entries' rows in the two tables.
func rows(entries []Entry) (certificates, identities []any, err error) {
	certificates = make([]any, 0, len(entries)*certificateColumns)
	identities = make([]any, 0, len(entries)*identityColumns)
	for _, e := range entries {
		serial, err := e.decimal()
		if err != nil {
			return nil, nil, err
		}
		if e.State == "" {
			e.State = Issued
		}
		names, created := jsonList(e.Names), e.Created.UTC()
		certificates = append(certificates,
			serial, e.Authority, "" /* ca_label */, "good", 0 /* reason */, e.NotAfter.UTC(),
			time.Time{}, // revoked_at: cfssl stores the zero time
			string(e.PEM), created, e.NotBefore.UTC(), "{}" /* metadata */, names, e.CommonName)
		if e.State == Foreign {
			continue
		}
		identities = append(identities,
			serial, e.Authority, e.Host, e.Role.String(), e.Layout, e.KeyID, e.Subject, names, jsonList(e.Addresses),
			string(e.State), created.Unix())
	}
	return certificates, identities, nil
}

// jsonList encodes a list of names or addresses; none is [].
func jsonList[T string | netip.Addr](list []T) string {
	if list == nil {
		list = []T{}
	}
	text, _ := json.Marshal(list) // cannot fail for these types
	return string(text)
}

// MarkPublished notes that the files of these certificates lie where they belong.
func (inv *Inventory) MarkPublished(ctx context.Context, keys ...Key) error {
	return inv.mark(ctx, Published, keys)
}

// MarkSuperseded notes that others have taken the place of these certificates.
func (inv *Inventory) MarkSuperseded(ctx context.Context, keys ...Key) error {
	return inv.mark(ctx, Superseded, keys)
}

// Abandon notes that these certificates were recorded and will never be published.
func (inv *Inventory) Abandon(ctx context.Context, keys ...Key) error {
	return inv.mark(ctx, Abandoned, keys)
}

// mark changes the state of certificates, of all or of none.
func (inv *Inventory) mark(ctx context.Context, to State, keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return inv.wrap(doingMark, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	query, args, err := sqlx.In(`UPDATE identity SET state = ?
		WHERE state IN (?) AND serial_number = ? AND authority_key_identifier = ?`, to, to.from(), "", "")
	if err != nil {
		return inv.wrap(doingMark, err)
	}
	update, err := tx.PreparexContext(ctx, tx.Rebind(query))
	if err != nil {
		return inv.wrap(doingMark, err)
	}
	defer update.Close()
	for _, k := range keys {
		serial, err := k.decimal()
		if err != nil {
			return inv.wrap(doingMark, err)
		}
		args[len(args)-2], args[len(args)-1] = serial, k.Authority
		result, err := update.ExecContext(ctx, args...)
		if err != nil {
			return inv.wrap(doingMark, err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return inv.wrap(doingMark, err)
		} else if n == 0 {
			return inv.wrap(doingMark, whyNot(ctx, tx, k, serial, to))
		}
	}
	return inv.wrap(doingMark, tx.Commit())
}

// whyNot says why no row was updated.
func whyNot(ctx context.Context, tx *sqlx.Tx, k Key, serial string, to State) error {
	var is State
	err := tx.GetContext(ctx, &is, tx.Rebind(`SELECT state FROM identity
		WHERE serial_number = ? AND authority_key_identifier = ?`), serial, k.Authority)
	switch err {
	case nil:
		return &StateError{k, is, to}
	case sql.ErrNoRows:
		return fmt.Errorf("serial number %s: %w", k.Serial, ErrNotFound)
	}
	return err
}
