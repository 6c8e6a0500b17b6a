package inventory

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// A Filter selects entries. The zero value selects all.
type Filter struct {
	Host   string
	Role   certs.Role
	Layout string
	States []State
	// InForce leaves out what is revoked, superseded or abandoned: what remains should be in use.
	InForce bool
	// EndsBefore selects what ends before that time; zero: everything.
	EndsBefore time.Time
}

// joinedRow is a row of certdb's table with what ours adds, which is NULL for a foreign certificate.
type joinedRow struct {
	certificateRow
	Host      sql.NullString `db:"host"`
	Role      sql.NullString `db:"role"`
	Layout    sql.NullString `db:"layout"`
	KeyID     sql.NullString `db:"key_id"`
	Subject   sql.NullString `db:"subject"`
	Names     sql.NullString `db:"names"`
	Addresses sql.NullString `db:"addresses"`
	State     sql.NullString `db:"state"`
	CreatedAt sql.NullInt64  `db:"created_at"`
}

// selectJoined gives joinedRows; orderJoined orders them, the oldest first.
const (
	selectJoined = `SELECT c.serial_number, c.authority_key_identifier, c.ca_label, c.status, c.reason, c.expiry,
	c.revoked_at, c.pem, c.issued_at, c.not_before, c.metadata, c.sans, c.common_name,
	i.host, i.role, i.layout, i.key_id, i.subject, i.names, i.addresses, i.state, i.created_at
FROM certificates c LEFT JOIN identity i
	ON i.serial_number = c.serial_number AND i.authority_key_identifier = c.authority_key_identifier`
	orderJoined = "\nORDER BY coalesce(i.created_at, 0), c.serial_number, c.authority_key_identifier"
)

// List gives the entries that the filter selects, oldest first.
func (inv *Inventory) List(ctx context.Context, f Filter) ([]Entry, error) {
	var where []string
	var args []any
	add := func(condition string, arg any) {
		where, args = append(where, condition), append(args, arg)
	}
	if f.Host != "" {
		add("i.host = ?", f.Host)
	}
	if f.Role != 0 {
		add("i.role = ?", f.Role.String())
	}
	if f.Layout != "" {
		add("i.layout = ?", f.Layout)
	}
	if len(f.States) > 0 {
		add("coalesce(i.state, 'foreign') IN (?)", f.States)
	}
	if f.InForce {
		where = append(where, "c.status <> 'revoked' AND coalesce(i.state, 'foreign') NOT IN ('superseded', 'abandoned')")
	}
	if !f.EndsBefore.IsZero() {
		add("c.expiry < ?", f.EndsBefore.UTC())
	}
	return inv.list(ctx, where, args)
}

// ByHost gives all entries of a host or client, oldest first.
func (inv *Inventory) ByHost(ctx context.Context, host string) ([]Entry, error) {
	if host == "" {
		return nil, nil
	}
	return inv.List(ctx, Filter{Host: host})
}

// BySerial gives the entries of a serial number in hex, which are several only if several authorities share the
// inventory. None is ErrNotFound.
func (inv *Inventory) BySerial(ctx context.Context, serial string) ([]Entry, error) {
	clean, err := ParseSerial(serial)
	if err != nil {
		return nil, err
	}
	decimal, err := Key{Serial: clean}.decimal()
	if err != nil {
		return nil, err
	}
	es, err := inv.list(ctx, []string{"c.serial_number = ?"}, []any{decimal})
	if err == nil && len(es) == 0 {
		err = fmt.Errorf("serial number %s: %w", clean, ErrNotFound)
	}
	return es, err
}

// Get gives one entry, or ErrNotFound.
func (inv *Inventory) Get(ctx context.Context, k Key) (Entry, error) {
	decimal, err := k.decimal()
	if err != nil {
		return Entry{}, err
	}
	es, err := inv.list(ctx, []string{"c.serial_number = ?", "c.authority_key_identifier = ?"}, []any{decimal, k.Authority})
	if err != nil {
		return Entry{}, err
	}
	if len(es) == 0 {
		return Entry{}, fmt.Errorf("serial number %s: %w", k.Serial, ErrNotFound)
	}
	return es[0], nil
}

// list runs the query with its conditions.
func (inv *Inventory) list(ctx context.Context, where []string, args []any) ([]Entry, error) {
	query := selectJoined
	if len(where) > 0 {
		query += "\nWHERE " + strings.Join(where, " AND ")
	}
	query, args, err := sqlx.In(query+orderJoined, args...)
	if err != nil {
		return nil, inv.wrap(doingRead, err)
	}
	var found []joinedRow
	if err := inv.db.SelectContext(ctx, &found, inv.db.Rebind(query), args...); err != nil {
		return nil, inv.wrap(doingRead, err)
	}
	entries := make([]Entry, len(found))
	for i := range found {
		if entries[i], err = found[i].entry(); err != nil {
			return nil, inv.wrap(doingRead, err)
		}
	}
	return entries, nil
}

// entry turns a row into an Entry.
func (r *joinedRow) entry() (Entry, error) {
	key, err := recordedKey(r.Serial, r.AKI)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{
		Key: key, CommonName: r.CommonName.String, PEM: r.PEM, State: Foreign,
		NotBefore: utc(r.NotBefore), NotAfter: utc(r.Expiry), Created: utc(r.IssuedAt),
	}
	if r.Status == "revoked" {
		e.Revoked = &Revocation{utc(r.RevokedAt), int(r.Reason.Int64)}
	}
	if !r.State.Valid {
		// cfssl's signer stores null where there are no names; other programs may store anything.
		_ = json.Unmarshal([]byte(r.SANs.String), &e.Names)
		return e, nil
	}
	role, err := certs.ParseRole(r.Role.String)
	if err != nil {
		return Entry{}, fmt.Errorf("certificate %s: %w", e.Serial, err)
	}
	e.Host, e.Role, e.Layout = r.Host.String, role, r.Layout.String
	e.KeyID, e.Subject, e.State = r.KeyID.String, r.Subject.String, State(r.State.String)
	e.Created = time.Unix(r.CreatedAt.Int64, 0).UTC()
	for _, c := range []struct {
		text string
		into any
	}{{r.Names.String, &e.Names}, {r.Addresses.String, &e.Addresses}} {
		if err := json.Unmarshal([]byte(c.text), c.into); err != nil {
			return Entry{}, fmt.Errorf("certificate %s: %w", e.Serial, err)
		}
	}
	if len(e.Names) == 0 {
		e.Names = nil
	}
	if len(e.Addresses) == 0 {
		e.Addresses = nil
	}
	return e, nil
}

// utc gives a time, the zero time for NULL.
func utc(t sql.NullTime) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}
