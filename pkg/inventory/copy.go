package inventory

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"

	"github.com/jmoiron/sqlx"
)

const doingCopy = "copying the inventory"

// certificateRow is a row of certdb's table, whole.
type certificateRow struct {
	Serial     string         `db:"serial_number"`
	AKI        string         `db:"authority_key_identifier"`
	Label      sql.NullString `db:"ca_label"`
	Status     string         `db:"status"`
	Reason     sql.NullInt64  `db:"reason"`
	Expiry     sql.NullTime   `db:"expiry"`
	RevokedAt  sql.NullTime   `db:"revoked_at"`
	PEM        []byte         `db:"pem"`
	IssuedAt   sql.NullTime   `db:"issued_at"`
	NotBefore  sql.NullTime   `db:"not_before"`
	Metadata   sql.NullString `db:"metadata"`
	SANs       sql.NullString `db:"sans"`
	CommonName sql.NullString `db:"common_name"`
}

// identityRow is a row of our table, whole.
type identityRow struct {
	Serial    string `db:"serial_number"`
	AKI       string `db:"authority_key_identifier"`
	Host      string `db:"host"`
	Role      string `db:"role"`
	Layout    string `db:"layout"`
	KeyID     string `db:"key_id"`
	Subject   string `db:"subject"`
	Names     string `db:"names"`
	Addresses string `db:"addresses"`
	State     string `db:"state"`
	CreatedAt int64  `db:"created_at"`
}

// Copy brings everything that one inventory knows into another, in one transaction, and gives the number of certificates.
// What is there already stays, so that a copy can be repeated and two inventories merged: revocations are added and never
// taken back, and the numbers of revocation lists only rise. Another certificate of a serial number that is there is a
// *DuplicateError, and nothing is copied. OCSP responses of cfssl are not copied; they are made again.
func Copy(ctx context.Context, from, to *Inventory) (int, error) {
	var certificates []certificateRow
	var identities []identityRow
	var lists []struct {
		AKI    string `db:"authority_key_identifier"`
		Number string `db:"number"`
		This   int64  `db:"this_update"`
		Next   int64  `db:"next_update"`
	}
	// One transaction, so that all three are of one moment. Foreign keys of the destination do not matter: it has none.
	read, err := from.db.BeginTxx(ctx, from.dialect.snapshot())
	if err != nil {
		return 0, from.wrap(doingCopy, err)
	}
	defer read.Rollback() // it has written nothing
	for _, q := range []struct {
		into  any
		query string
	}{
		{&certificates, `SELECT serial_number, authority_key_identifier, ca_label, status, reason, expiry, revoked_at, pem,
			issued_at, not_before, metadata, sans, common_name FROM certificates`},
		{&identities, `SELECT serial_number, authority_key_identifier, host, role, layout, key_id, subject, names, addresses,
			state, created_at FROM identity`},
		{&lists, `SELECT authority_key_identifier, number, this_update, next_update FROM revocation_list`},
	} {
		if err := read.SelectContext(ctx, q.into, q.query); err != nil {
			return 0, from.wrap(doingCopy, err)
		}
	}
	_ = read.Rollback()

	tx, err := to.db.BeginTxx(ctx, nil)
	if err != nil {
		return 0, to.wrap(doingCopy, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	for _, r := range certificates {
		if _, err := copyCertificate(ctx, tx, r); err != nil {
			return 0, to.wrap(doingCopy, err)
		}
	}
	for _, r := range identities {
		if _, err := tx.ExecContext(ctx, tx.Rebind(insertIdentities+values(1, identityColumns)+` ON CONFLICT DO NOTHING`),
			r.Serial, r.AKI, r.Host, r.Role, r.Layout, r.KeyID, r.Subject, r.Names, r.Addresses, r.State, r.CreatedAt); err != nil {
			return 0, to.wrap(doingCopy, err)
		}
	}
	for _, l := range lists {
		have, err := to.stamp(ctx, tx, l.AKI, to.dialect.forUpdate())
		switch n, ok := new(big.Int).SetString(l.Number, 10); {
		case !ok:
			err = fmt.Errorf("revocation list number %q is no decimal number", l.Number)
		case errors.Is(err, sql.ErrNoRows):
			_, err = tx.ExecContext(ctx, tx.Rebind(`INSERT INTO revocation_list (authority_key_identifier, number, this_update, next_update)
				VALUES (?, ?, ?, ?)`), l.AKI, l.Number, l.This, l.Next)
		case err == nil && have.Number.Cmp(n) < 0:
			_, err = tx.ExecContext(ctx, tx.Rebind(`UPDATE revocation_list SET number = ?, this_update = ?, next_update = ?
				WHERE authority_key_identifier = ?`), l.Number, max(l.This, have.ThisUpdate.Unix()), max(l.Next, have.NextUpdate.Unix()), l.AKI)
		}
		if err != nil {
			return 0, to.wrap(doingCopy, err)
		}
	}
	return len(certificates), to.wrap(doingCopy, tx.Commit())
}

// copyCertificate inserts a row, or compares it with the one that is there; fresh says which.
func copyCertificate(ctx context.Context, tx *sqlx.Tx, r certificateRow) (fresh bool, err error) {
	result, err := tx.ExecContext(ctx, tx.Rebind(insertCertificates+values(1, certificateColumns)+` ON CONFLICT DO NOTHING`),
		r.Serial, r.AKI, r.Label, r.Status, r.Reason, r.Expiry, r.RevokedAt, string(r.PEM), r.IssuedAt, r.NotBefore, r.Metadata, r.SANs, r.CommonName)
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return true, err
	}
	var there []byte
	const one = ` WHERE serial_number = ? AND authority_key_identifier = ?`
	if err := tx.GetContext(ctx, &there, tx.Rebind(`SELECT pem FROM certificates`+one), r.Serial, r.AKI); err != nil {
		return false, err
	}
	if !bytes.Equal(there, r.PEM) {
		key, err := recordedKey(r.Serial, r.AKI)
		if err != nil {
			return false, err
		}
		return false, &DuplicateError{key}
	}
	if r.Status != "revoked" {
		return false, nil
	}
	_, err = tx.ExecContext(ctx, tx.Rebind(`UPDATE certificates SET status = 'revoked', revoked_at = ?, reason = ?`+one+
		` AND status <> 'revoked'`), r.RevokedAt, r.Reason, r.Serial, r.AKI)
	return false, err
}
