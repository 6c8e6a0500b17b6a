package inventory

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudflare/cfssl/certdb"
	"github.com/jmoiron/sqlx"
	"github.com/jmoiron/sqlx/types"
)

// insertCertificate fills certdb's table as cfssl's accessor does (certdb/sql, insertSQL). The accessor itself does not
// serve here: it knows neither transactions nor contexts, and hides the kind of failure.
const insertCertificate = `INSERT INTO certificates (serial_number, authority_key_identifier, ca_label, status, reason,
	expiry, revoked_at, pem, issued_at, not_before, metadata, sans, common_name)
VALUES (:serial_number, :authority_key_identifier, :ca_label, :status, :reason,
	:expiry, :revoked_at, :pem, :issued_at, :not_before, :metadata, :sans, :common_name)`

const insertIdentity = `INSERT INTO identity (serial_number, authority_key_identifier, host, role, layout, key_id,
	subject, names, addresses, state, created_at)
VALUES (:serial_number, :authority_key_identifier, :host, :role, :layout, :key_id,
	:subject, :names, :addresses, :state, :created_at)`

// identityRow is a row of our table.
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

// Record writes certificates down, all of them or none. An entry without a State is Issued. When Record returns nil, the
// entries are on the disk. A serial number that is known already gives a *DuplicateError.
func (inv *Inventory) Record(ctx context.Context, entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return inv.wrap(doingRecord, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	certificate, err := tx.PrepareNamedContext(ctx, insertCertificate)
	if err != nil {
		return inv.wrap(doingRecord, err)
	}
	defer certificate.Close()
	identity, err := tx.PrepareNamedContext(ctx, insertIdentity)
	if err != nil {
		return inv.wrap(doingRecord, err)
	}
	defer identity.Close()
	for _, e := range entries {
		record, row, err := rows(e)
		if err != nil {
			return inv.wrap(doingRecord, err)
		}
		if _, err := certificate.ExecContext(ctx, record); err != nil {
			if isUnique(err) {
				err = &DuplicateError{e.Key}
			}
			return inv.wrap(doingRecord, err)
		}
		if _, err := identity.ExecContext(ctx, row); err != nil {
			return inv.wrap(doingRecord, err)
		}
	}
	return inv.wrap(doingRecord, tx.Commit())
}

// rows gives an entry's two rows.
func rows(e Entry) (*certdb.CertificateRecord, *identityRow, error) {
	serial, err := e.decimal()
	if err != nil {
		return nil, nil, err
	}
	switch {
	case e.State == "":
		e.State = Issued
	case e.State == Foreign:
		return nil, nil, fmt.Errorf("certificate %s cannot be recorded as %s", e.Serial, e.State)
	}
	notBefore, created := e.NotBefore.UTC(), e.Created.UTC()
	record := &certdb.CertificateRecord{
		Serial: serial, AKI: e.Authority, Status: "good", PEM: string(e.PEM),
		Expiry: e.NotAfter.UTC(), NotBefore: &notBefore, IssuedAt: &created,
		RevokedAt:    time.Time{}, // cfssl stores the zero time
		MetadataJSON: types.JSONText("{}"),
		SANsJSON:     types.JSONText(jsonList(e.Names)),
		CommonName:   sql.NullString{String: e.CommonName, Valid: true},
	}
	row := &identityRow{
		Serial: serial, AKI: e.Authority, Host: e.Host, Role: e.Role.String(), Layout: e.Layout, KeyID: e.KeyID,
		Subject: e.Subject, Names: jsonList(e.Names), Addresses: jsonList(e.Addresses),
		State: string(e.State), CreatedAt: created.Unix(),
	}
	return record, row, nil
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
