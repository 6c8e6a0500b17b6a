package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Found is what was found in files. Its zero value is empty; several trees can be scanned into one.
type Found struct {
	// Certificates are all that were found, each once, CAs among them.
	Certificates []Certificate
	// Lists are the revocation lists that libvirt would go by, one for each issuer and file.
	Lists []List

	known map[string]int
}

// A Certificate is a certificate with the files that it was found in.
type Certificate struct {
	Cert  *certs.Certificate
	Files []string
}

// A List is a revocation list in a file.
type List struct {
	List *crl.List
	File string
}

// Limits of what Scan reads.
const (
	maxScanned     = 64 << 20
	maxScannedHead = 4096
)

// Scan looks for certificates and revocation lists in PEM in all files below a directory; shown gives the name of a file for
// the answer. It follows no links. What cannot be read is in the error, joined, and the rest is found.
func (s *Found) Scan(fsys fs.FS, shown func(string) string) error {
	var faults []error
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			faults = append(faults, fmt.Errorf("looking for certificates in %q: %w", shown(name), durable.Reason(err)))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !likely(name) {
			return nil
		}
		if err := s.file(fsys, name, shown(name)); err != nil {
			faults = append(faults, fmt.Errorf("looking for certificates in %q: %w", shown(name), durable.Reason(err)))
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
}

// likely reports whether a file of this name may hold certificates: the usual endings, or none.
func likely(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".pem", ".crt", ".cer", ".cert", ".crl", "":
		return !strings.HasSuffix(name, "key.pem") // a private key need not be opened
	}
	return false
}

func (s *Found) file(fsys fs.FS, name, shown string) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, maxScannedHead)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		if err == io.EOF {
			return nil
		}
		return err
	}
	head = head[:n]
	if bytes.IndexByte(head, 0) >= 0 { // no text
		return nil
	}
	rest, err := io.ReadAll(io.LimitReader(f, maxScanned))
	if err != nil {
		return err
	}
	text := append(head, rest...)
	if bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) || bytes.Contains(text, []byte("-----BEGIN X509 CERTIFICATE-----")) {
		list, err := certs.ImportPEMList(text, 0)
		if err != nil {
			return err
		}
		for _, c := range list {
			s.add(c, shown)
		}
	}
	if bytes.Contains(text, []byte("-----BEGIN X509 CRL-----")) {
		lists, err := crl.ParsePEM(text)
		if err != nil {
			return err
		}
		for _, l := range crl.Effective(lists) {
			s.Lists = append(s.Lists, List{l, shown})
		}
	}
	return nil
}

func (s *Found) add(c *certs.Certificate, file string) {
	if s.known == nil {
		s.known = map[string]int{}
	}
	if i, ok := s.known[string(c.Raw)]; ok {
		if files := &s.Certificates[i].Files; !slices.Contains(*files, file) {
			*files = append(*files, file)
		}
		return
	}
	s.known[string(c.Raw)] = len(s.Certificates)
	s.Certificates = append(s.Certificates, Certificate{c, []string{file}})
}

// Adopted says what Adopt has taken into the inventory.
type Adopted struct {
	// Registered were found and not known.
	Registered []inventory.Entry
	// Published were known, but not noted as published: they lie there.
	Published []inventory.Entry
	// Revoked are on a list of the authority that was found, and the inventory did not know that they are revoked; of those
	// whose certificate was not found either there is only the serial number.
	Revoked []inventory.Entry
	// Lists is how many of the lists found the authority has signed; Last has the highest number and the latest dates of
	// theirs, without any no number.
	Lists int
	Last  inventory.ListStamp
}

// Adopt takes into the inventory what was found and it does not know: certificates that the authority has signed, and
// revocations from its lists, with their dates and reasons. The numbers of its next lists are higher than that of any found.
// So an authority that was restored from a backup learns what happened after it. With dryRun nothing is written.
func Adopt(ctx context.Context, a *ca.Authority, found Found, now time.Time, dryRun bool) (Adopted, error) {
	var out Adopted
	inv := a.Inventory()
	entries, err := inv.List(ctx, inventory.Filter{})
	if err != nil {
		return out, err
	}
	known := map[inventory.Key]*inventory.Entry{}
	for i := range entries {
		known[entries[i].Key] = &entries[i]
	}
	for _, f := range found.Certificates {
		key, err := a.KeyOf(f.Cert)
		var stranger *ca.StrangerError
		if errors.As(err, &stranger) || bytes.Equal(f.Cert.Raw, a.CertDER()) {
			continue
		}
		if err != nil {
			return out, err
		}
		switch e := known[key]; {
		case e == nil:
			n, err := a.Describe(f.Cert, now)
			if err != nil {
				return out, fmt.Errorf("%q: %w", f.Files[0], err)
			}
			n.Layout = layoutOf(f.Files[0])
			out.Registered = append(out.Registered, n)
			known[key] = &n
		case e.State == inventory.Issued && e.Revoked == nil:
			out.Published = append(out.Published, *e)
		}
	}
	issuer, err := certs.Import(a.CertDER())
	if err != nil {
		return out, err
	}
	for _, l := range found.Lists {
		if !l.List.IssuedBy(issuer) || l.List.CheckSignature(issuer) != nil {
			continue
		}
		out.Lists++
		if n := l.List.Number; n != nil && (out.Last.Number == nil || n.Cmp(out.Last.Number) > 0) {
			out.Last.Number = n
		}
		if l.List.ThisUpdate.After(out.Last.ThisUpdate) {
			out.Last.ThisUpdate, out.Last.NextUpdate = l.List.ThisUpdate, l.List.NextUpdate
		}
		for e, err := range l.List.Entries() {
			if err != nil {
				return out, fmt.Errorf("%q: %w", l.File, err)
			}
			key := inventory.NewKey(new(big.Int).SetBytes(e.Serial), nil)
			key.Authority = a.ID()
			k := known[key]
			if k == nil {
				k = &inventory.Entry{Key: key, State: inventory.Foreign}
				known[key] = k
			}
			if k.Revoked == nil {
				k.Revoked = &inventory.Revocation{At: e.Revoked, Reason: max(e.Reason, 0)}
				out.Revoked = append(out.Revoked, *k)
			}
		}
	}
	if dryRun {
		return out, nil
	}
	return out, adopt(ctx, inv, a.ID(), out)
}

// adopt writes. Each step can be repeated, so that an interrupted run is.
func adopt(ctx context.Context, inv *inventory.Inventory, authority string, out Adopted) error {
	if err := inv.Record(ctx, out.Registered...); err != nil {
		return err
	}
	var lie []inventory.Key
	for _, e := range out.Published {
		lie = append(lie, e.Key)
	}
	if err := inv.MarkPublished(ctx, lie...); err != nil {
		return err
	}
	revoked := make([]inventory.RevokedKey, len(out.Revoked))
	for i, e := range out.Revoked {
		revoked[i] = inventory.RevokedKey{Key: e.Key, Revocation: *e.Revoked}
	}
	return inv.LearnRevoked(ctx, authority, revoked, out.Last)
}

// Describe gives what an inventory would say of a certificate that was found, whoever has signed it. A CA has no role.
func Describe(f Certificate) inventory.Entry {
	c := f.Cert
	subject, err := c.Subject.Text()
	if err != nil {
		subject = "an unprintable name"
	}
	e := inventory.Entry{Host: subject, Subject: subject, NotBefore: c.NotBefore, NotAfter: c.NotAfter, State: inventory.Foreign}
	e.Serial = c.SerialHex()
	if std, err := c.X509(); err == nil {
		e.CommonName, e.Names = std.Subject.CommonName, std.DNSNames
		for _, ip := range std.IPAddresses {
			if addr, ok := netip.AddrFromSlice(ip); ok {
				e.Addresses = append(e.Addresses, addr.Unmap())
			}
		}
	}
	if isCA(c) {
		return e
	}
	if e.CommonName != "" {
		e.Host = e.CommonName
	}
	if eku := c.ExtKeyUsage; eku != nil {
		server, client := slices.Contains(eku.Purposes, serverAuth), slices.Contains(eku.Purposes, clientAuth)
		switch {
		case server && client:
			e.Role = certs.Peer
		case server:
			e.Role = certs.Server
		case client:
			e.Role = certs.Client
		}
	}
	if len(f.Files) > 0 {
		e.Layout = layoutOf(f.Files[0])
	}
	return e
}

func isCA(c *certs.Certificate) bool {
	return c.BasicConstraints != nil && c.BasicConstraints.CA
}

// The purposes of RFC 5280, 4.2.1.12.
const (
	serverAuth = "1.3.6.1.5.5.7.3.1"
	clientAuth = "1.3.6.1.5.5.7.3.2"
)

// layoutOf gives the layout that a file lies in, "" where that cannot be told.
func layoutOf(file string) string {
	dir := "/" + strings.TrimPrefix(path.Dir(file), "/")
	for _, k := range layout.Kinds() {
		switch {
		case k == layout.User && strings.HasSuffix(dir, "/.pki/libvirt"):
			return string(k)
		case k != layout.User && k != layout.PkiPath && strings.HasSuffix(dir, "/pki/"+string(k)):
			return string(k)
		}
	}
	return ""
}

// A GivingUp says how certificates are given up that were recorded and never published.
type GivingUp struct {
	Now time.Time
	// Older is how long ago they must have been recorded: others may be under way.
	Older time.Duration
	// Reason is the revocation's (RFC 5280, 5.3.1).
	Reason int
	DryRun bool
}

// GivenUp says what GiveUp did.
type GivenUp struct {
	// Revoked lie nowhere; Published lie in the files that were found; Young were left alone.
	Revoked, Published, Young []inventory.Entry
}

// GiveUp settles what runs that were killed have left in the inventory: certificates that were recorded, but not noted as
// published. Those that were found are published. The others are revoked and abandoned: they were signed, and keys of theirs may
// have been on disk, so that they are not simply forgotten. found must hold everything that was issued with this authority.
func GiveUp(ctx context.Context, a *ca.Authority, found Found, g GivingUp) (GivenUp, error) {
	var out GivenUp
	inv := a.Inventory()
	entries, err := inv.List(ctx, inventory.Filter{States: []inventory.State{inventory.Issued}})
	if err != nil {
		return out, err
	}
	var publish, revoke, abandon []inventory.Key
	for _, e := range entries {
		_, lies := found.known[string(e.DER())]
		switch {
		case e.Authority != a.ID():
		case e.Revoked != nil: // an interrupted run, or somebody by hand
			if !lies {
				abandon = append(abandon, e.Key)
			}
		case lies:
			out.Published, publish = append(out.Published, e), append(publish, e.Key)
		case g.Now.Sub(e.Created) < g.Older:
			out.Young = append(out.Young, e)
		default:
			out.Revoked, revoke, abandon = append(out.Revoked, e), append(revoke, e.Key), append(abandon, e.Key)
		}
	}
	if g.DryRun {
		return out, nil
	}
	if err := inv.MarkPublished(ctx, publish...); err != nil {
		return out, err
	}
	if len(revoke) > 0 {
		if err := inv.RevokeAll(ctx, revoke, g.Now, g.Reason); err != nil {
			return out, err
		}
	}
	if err := inv.Abandon(ctx, abandon...); err != nil {
		return out, err
	}
	at := g.Now.UTC().Truncate(time.Second)
	for i := range out.Revoked {
		out.Revoked[i].Revoked = &inventory.Revocation{At: at, Reason: g.Reason}
	}
	return out, nil
}
