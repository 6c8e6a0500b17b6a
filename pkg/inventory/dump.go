package inventory

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

const (
	doingDump = "reading the whole inventory"
	doingLoad = "restoring the inventory"
)

// A dumpedLine is one line of a dump: a certificate or a revocation list's number.
type dumpedLine struct {
	Certificate *dumpedCertificate `json:"certificate,omitempty"`
	List        *dumpedList        `json:"list,omitempty"`
}

// A dumpedCertificate is a row of certdb's table, with ours where there is one.
type dumpedCertificate struct {
	Serial     string          `json:"serial"` // as in Key
	Authority  string          `json:"authority"`
	Label      *string         `json:"ca_label,omitempty"`
	Status     string          `json:"status"`
	Reason     *int64          `json:"reason,omitempty"`
	Expiry     *time.Time      `json:"expiry,omitempty"`
	RevokedAt  *time.Time      `json:"revoked_at,omitempty"`
	PEM        string          `json:"pem"`
	IssuedAt   *time.Time      `json:"issued_at,omitempty"`
	NotBefore  *time.Time      `json:"not_before,omitempty"`
	Metadata   *string         `json:"metadata,omitempty"`
	SANs       *string         `json:"sans,omitempty"`
	CommonName *string         `json:"common_name,omitempty"`
	Identity   *dumpedIdentity `json:"identity,omitempty"`
}

type dumpedIdentity struct {
	Host      string          `json:"host"`
	Role      string          `json:"role"`
	Layout    string          `json:"layout"`
	KeyID     string          `json:"key_id"`
	Subject   string          `json:"subject"`
	Names     json.RawMessage `json:"names"`
	Addresses json.RawMessage `json:"addresses"`
	State     State           `json:"state"`
	CreatedAt int64           `json:"created_at"`
}

type dumpedList struct {
	Authority  string `json:"authority"`
	Number     string `json:"number"` // decimal
	ThisUpdate int64  `json:"this_update"`
	NextUpdate int64  `json:"next_update"`
}

// A Dumped counts what a dump holds.
type Dumped struct {
	// Certificates is their number, Revoked that of those that are revoked.
	Certificates, Revoked int
}

// add counts a line.
func (d *Dumped) add(l dumpedLine) {
	if l.Certificate != nil {
		d.Certificates++
		if l.Certificate.Status == "revoked" {
			d.Revoked++
		}
	}
}

// Dump gives everything that the inventory knows, as of one moment, as lines of JSON without their ends: one for each
// certificate, then one for each authority that made revocation lists. The line is valid until give returns.
func (inv *Inventory) Dump(ctx context.Context, give func(line []byte) error) (Dumped, error) {
	var count Dumped
	tx, err := inv.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: inv.dialect.steady()})
	if err != nil {
		return count, inv.wrap(doingDump, err)
	}
	defer tx.Rollback() // it has written nothing
	counted := func(l dumpedLine) error {
		count.add(l)
		return giveLine(l, give)
	}
	if err := dumpCertificates(ctx, tx, counted); err != nil {
		return count, inv.wrap(doingDump, err)
	}
	var lists []dumpedList
	if err := tx.SelectContext(ctx, &lists, `SELECT authority_key_identifier AS authority, number, this_update AS thisupdate,
		next_update AS nextupdate FROM revocation_list ORDER BY authority_key_identifier`); err != nil {
		return count, inv.wrap(doingDump, err)
	}
	for i := range lists {
		if err := counted(dumpedLine{List: &lists[i]}); err != nil {
			return count, inv.wrap(doingDump, err)
		}
	}
	return count, nil
}

// CheckDump reads a dump as Load does and counts it, without an inventory.
func CheckDump(next func() ([]byte, error)) (Dumped, error) {
	var count Dumped
	for n := 1; ; n++ {
		text, err := next()
		if err == io.EOF {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		line, err := parseLine(text)
		if err != nil {
			return count, &LineError{n, err}
		}
		count.add(line)
	}
}

// dumpCertificates gives the rows while they come, not all at once.
func dumpCertificates(ctx context.Context, tx *sqlx.Tx, give func(dumpedLine) error) error {
	rows, err := tx.QueryxContext(ctx, selectJoined+orderJoined)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r joinedRow
		if err := rows.StructScan(&r); err != nil {
			return err
		}
		key, err := recordedKey(r.Serial, r.AKI)
		if err != nil {
			return err
		}
		c := &dumpedCertificate{Serial: key.Serial, Authority: key.Authority, Label: orNil(r.Label.String, r.Label.Valid), Status: r.Status,
			Reason: orNil(r.Reason.Int64, r.Reason.Valid), Expiry: orNil(r.Expiry.Time.UTC(), r.Expiry.Valid),
			RevokedAt: orNil(r.RevokedAt.Time.UTC(), r.RevokedAt.Valid), PEM: string(r.PEM),
			IssuedAt: orNil(r.IssuedAt.Time.UTC(), r.IssuedAt.Valid), NotBefore: orNil(r.NotBefore.Time.UTC(), r.NotBefore.Valid),
			Metadata: orNil(r.Metadata.String, r.Metadata.Valid), SANs: orNil(r.SANs.String, r.SANs.Valid), CommonName: orNil(r.CommonName.String, r.CommonName.Valid)}
		if r.State.Valid {
			c.Identity = &dumpedIdentity{r.Host.String, r.Role.String, r.Layout.String, r.KeyID.String, r.Subject.String,
				json.RawMessage(r.Names.String), json.RawMessage(r.Addresses.String), State(r.State.String), r.CreatedAt.Int64}
		}
		if err := give(dumpedLine{Certificate: c}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// orNil gives a pointer to what is there.
func orNil[T any](value T, there bool) *T {
	if !there {
		return nil
	}
	return &value
}

func giveLine(l dumpedLine, give func([]byte) error) error {
	text, err := json.Marshal(l)
	if err == nil {
		_, err = parseLine(text) // what cannot be restored is not to be found out then
	}
	if err != nil {
		return err
	}
	return give(text)
}

// A LineError says that a line of a dump cannot be restored.
type LineError struct {
	Line int
	Err  error
}

// Error gives line and reason.
func (e *LineError) Error() string { return fmt.Sprintf("line %d of the inventory: %v", e.Line, e.Err) }

// Unwrap gives the reason.
func (e *LineError) Unwrap() error { return e.Err }

// A Load says how a dump is restored.
type Load struct {
	// Authority is the one whose lists are counted on in any case, see Skip.
	Authority string
	// AtLeast is a number that the authority's last list had, which the dump may not know. It may be nil.
	AtLeast *big.Int
	// Skip is by how much the numbers of the next revocation lists jump ahead, past those that were given after the dump.
	Skip int64
	// Finish, when set, is called when all has been read and nothing is restored yet. Its error is Load's.
	Finish func(Dumped) error
}

// Loaded says what a dump held.
type Loaded struct {
	Dumped
	// Known is how many of the certificates were there before.
	Known int
	// Last is the number that the authority's next list will be higher than.
	Last *big.Int
}

// Load restores what Dump gave, in one transaction: everything or nothing. next gives line after line, and io.EOF at the end;
// any other error of it is Load's, unchanged in its chain. An inventory that holds something already is merged with, as by
// Copy: what is there stays, revocations are added, numbers of lists only rise.
func (inv *Inventory) Load(ctx context.Context, l Load, next func() ([]byte, error)) (Loaded, error) {
	out := Loaded{Last: new(big.Int)}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return out, inv.wrap(doingLoad, err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if l.AtLeast != nil {
		out.Last.Set(l.AtLeast)
	}
	lists := map[string]dumpedList{l.Authority: {Authority: l.Authority, Number: out.Last.String()}}
	for n := 1; ; n++ {
		text, err := next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return out, err
		}
		line, err := parseLine(text)
		if err != nil {
			return out, &LineError{n, err}
		}
		if line.List != nil {
			if have, there := lists[line.List.Authority]; there && decimal(have.Number).Cmp(decimal(line.List.Number)) > 0 {
				line.List.Number = have.Number
			}
			lists[line.List.Authority] = *line.List
			continue
		}
		c := line.Certificate
		fresh, err := inv.loadCertificate(ctx, tx, c)
		if err != nil {
			return out, inv.wrap(doingLoad, err)
		}
		out.add(line)
		if !fresh {
			out.Known++
		}
	}
	if l.Finish != nil {
		if err := l.Finish(out.Dumped); err != nil {
			return out, err
		}
	}
	for _, list := range lists {
		last, err := inv.raise(ctx, tx, list, l.Skip)
		if err != nil {
			return out, inv.wrap(doingLoad, err)
		}
		if list.Authority == l.Authority {
			out.Last = last
		}
	}
	return out, inv.wrap(doingLoad, tx.Commit())
}

// decimal gives the number of a list that parseLine has checked.
func decimal(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

// loadCertificate inserts both rows; fresh says that they were not there.
func (inv *Inventory) loadCertificate(ctx context.Context, tx *sqlx.Tx, c *dumpedCertificate) (fresh bool, err error) {
	serial, err := Key{Serial: c.Serial}.decimal()
	if err != nil {
		return false, err
	}
	row := certificateRow{Serial: serial, AKI: c.Authority, Status: c.Status, PEM: []byte(c.PEM)}
	for _, s := range []struct {
		from *string
		to   *sql.NullString
	}{{c.Label, &row.Label}, {c.Metadata, &row.Metadata}, {c.SANs, &row.SANs}, {c.CommonName, &row.CommonName}} {
		if s.from != nil {
			*s.to = sql.NullString{String: *s.from, Valid: true}
		}
	}
	for _, t := range []struct {
		from *time.Time
		to   *sql.NullTime
	}{{c.Expiry, &row.Expiry}, {c.RevokedAt, &row.RevokedAt}, {c.IssuedAt, &row.IssuedAt}, {c.NotBefore, &row.NotBefore}} {
		if t.from != nil {
			*t.to = sql.NullTime{Time: t.from.UTC(), Valid: true}
		}
	}
	if c.Reason != nil {
		row.Reason = sql.NullInt64{Int64: *c.Reason, Valid: true}
	}
	if fresh, err = copyCertificate(ctx, tx, row); err != nil || c.Identity == nil {
		return fresh, err
	}
	i := c.Identity
	_, err = tx.ExecContext(ctx, tx.Rebind(insertIdentities+values(1, identityColumns)+` ON CONFLICT DO NOTHING`),
		serial, c.Authority, i.Host, i.Role, i.Layout, i.KeyID, i.Subject, string(i.Names), string(i.Addresses), string(i.State), i.CreatedAt)
	return fresh, err
}

// raise makes the number of an authority's last list what it was, or what is there if that is more, and more by skip.
func (inv *Inventory) raise(ctx context.Context, tx *sqlx.Tx, l dumpedList, skip int64) (*big.Int, error) {
	if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO revocation_list (authority_key_identifier, number, this_update, next_update)
		VALUES (?, '0', 0, 0) ON CONFLICT DO NOTHING`), l.Authority); err != nil {
		return nil, err
	}
	have, err := inv.stamp(ctx, tx, l.Authority, inv.dialect.forUpdate())
	if err != nil {
		return nil, err
	}
	n := decimal(l.Number)
	if n.Cmp(have.Number) < 0 {
		n.Set(have.Number)
	}
	n.Add(n, big.NewInt(skip))
	_, err = tx.ExecContext(ctx, tx.Rebind(`UPDATE revocation_list SET number = ?, this_update = ?, next_update = ?
		WHERE authority_key_identifier = ?`), n.String(), max(l.ThisUpdate, have.ThisUpdate.Unix()), max(l.NextUpdate, have.NextUpdate.Unix()), l.Authority)
	return n, err
}

// parseLine reads a line of a dump. What it does not know is an error, so that nothing is silently left out.
func parseLine(text []byte) (dumpedLine, error) {
	var l dumpedLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, err
	}
	if _, err := d.Token(); err != io.EOF {
		return l, errors.New("text after the JSON object")
	}
	switch {
	case l.Certificate != nil && l.List == nil:
		return l, l.Certificate.check()
	case l.List != nil && l.Certificate == nil:
		n, ok := new(big.Int).SetString(l.List.Number, 10)
		if !ok || n.Sign() < 0 || len(n.Bytes()) > 20 || len(l.List.Authority) > 128 {
			return l, fmt.Errorf("revocation list number %q is no decimal number of up to 20 octets", l.List.Number)
		}
		return l, nil
	}
	return l, errors.New("it is neither a certificate nor a revocation list")
}

// check refuses what the other functions of this package could not read.
func (c *dumpedCertificate) check() error {
	serial, err := ParseSerial(c.Serial)
	switch {
	case err != nil:
		return err
	case serial != c.Serial || len(serial) > 2*20+2:
		return fmt.Errorf("%q is no serial number as it is recorded", c.Serial)
	case len(c.Authority) > 128:
		return fmt.Errorf("certificate %s: %q is no authority", c.Serial, c.Authority)
	case c.Status == "": // cfssl knows "good" and "revoked"; other programs may know more
		return fmt.Errorf("certificate %s has no status", c.Serial)
	case !utf8.ValidString(c.PEM):
		return fmt.Errorf("certificate %s is no text", c.Serial)
	case c.Identity == nil:
		return nil
	}
	i := c.Identity
	if _, err := certs.ParseRole(i.Role); err != nil {
		return fmt.Errorf("certificate %s: %w", c.Serial, err)
	}
	switch i.State {
	case Issued, Published, Superseded, Abandoned:
	default:
		return fmt.Errorf("certificate %s: state %q is unknown", c.Serial, i.State)
	}
	var e Entry
	if err := errors.Join(json.Unmarshal(i.Names, &e.Names), json.Unmarshal(i.Addresses, &e.Addresses)); err != nil {
		return fmt.Errorf("certificate %s: %w", c.Serial, err)
	}
	return nil
}
