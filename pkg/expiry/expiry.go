package expiry

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/scan"
)

// A Kind is what it is that ends.
type Kind string

// The kinds.
const (
	OfCA          Kind = "ca"
	OfCertificate Kind = "certificate"
	OfCRL         Kind = "crl"
)

// An Ending is something that ends.
type Ending struct {
	Kind Kind
	// Name is the host or client; of a CA and a list its subject.
	Name   string
	Role   certs.Role // 0: unknown
	Layout string
	Serial string // of a list its number
	// Subject is the name as libvirt matches it.
	Subject             string
	NotBefore, NotAfter time.Time
	// State is what the inventory says; Foreign for what it does not know.
	State   inventory.State
	Revoked bool
	// Files are where it was found.
	Files []string
	// Level is 0 as long as it is not due.
	Level finding.Severity
	// Then says what stops working at the end, in a sentence.
	Then string

	raw []byte
}

// Days gives the whole days left, negative after the end.
func (e Ending) Days(now time.Time) int {
	return int(math.Floor(e.NotAfter.Sub(now).Hours() / 24))
}

// A Watch gathers what ends when. Its zero value but for Now and the thresholds is ready for use.
type Watch struct {
	Now time.Time
	// Warn and Fail are from when on something is a warning or an error.
	Warn, Fail Threshold

	endings []Ending
	// known says what is in endings already, by certificate and by serial number in the inventory.
	known map[string]int
	// migrating are the hosts with a peer's identity in a layout of QEMU that migrations use.
	migrating []string
}

// add adds an ending, or its file to the one that is there.
func (w *Watch) add(e Ending) {
	if w.known == nil {
		w.known = map[string]int{}
	}
	key := string(e.raw)
	if i, ok := w.known[key]; ok && key != "" {
		w.endings[i].Files = append(w.endings[i].Files, e.Files...)
		return
	}
	w.known[key] = len(w.endings)
	w.endings = append(w.endings, e)
}

// Inventory adds what is in force, and remembers the others, so that they are recognised when they are found on disk.
func (w *Watch) Inventory(entries []inventory.Entry) {
	for _, e := range entries {
		if migrates(e) && !slices.Contains(w.migrating, e.Host) && e.InForce() {
			w.migrating = append(w.migrating, e.Host)
		}
	}
	for _, e := range entries {
		end := Ending{Kind: OfCertificate, Name: e.Host, Role: e.Role, Layout: e.Layout, Serial: e.Serial, Subject: e.Subject,
			NotBefore: e.NotBefore, NotAfter: e.NotAfter, State: e.State, Revoked: e.Revoked != nil, raw: e.DER()}
		if end.Name == "" {
			end.Name = e.CommonName
		}
		w.add(end)
	}
}

// migrates reports whether a host migrates guests with this identity.
func migrates(e inventory.Entry) bool {
	return e.Role == certs.Peer && (e.Layout == string(layout.QEMU) || e.Layout == string(layout.QEMUMigration))
}

// CA adds the certificates of an authority.
func (w *Watch) CA(cas []*certs.Certificate) {
	for _, c := range cas {
		e := w.certificate(scan.Certificate{Cert: c})
		e.State = inventory.Published // whose it is is known, other than of what is found in files
		w.add(e)
	}
}

// certificate describes a certificate that the inventory does not know.
func (w *Watch) certificate(f scan.Certificate) Ending {
	d := scan.Describe(f)
	e := Ending{Kind: OfCertificate, Name: d.Host, Role: d.Role, Layout: d.Layout, Serial: d.Serial, Subject: d.Subject,
		NotBefore: d.NotBefore, NotAfter: d.NotAfter, State: d.State, Files: f.Files, raw: f.Cert.Raw}
	if b := f.Cert.BasicConstraints; b != nil && b.CA {
		e.Kind = OfCA
	}
	return e
}

// CRL adds a revocation list.
func (w *Watch) CRL(l *crl.List, file string) {
	if l.NextUpdate.IsZero() {
		return
	}
	issuer, err := l.Issuer.Text()
	if err != nil {
		issuer = "an unprintable name"
	}
	e := Ending{Kind: OfCRL, Name: issuer, Subject: issuer, NotBefore: l.ThisUpdate, NotAfter: l.NextUpdate, State: inventory.Foreign, raw: l.Raw}
	if l.Number != nil {
		e.Serial = l.Number.String()
	}
	if file != "" {
		e.Files = []string{file}
	}
	w.add(e)
}

// Scan looks for certificates and revocation lists as scan.Found.Scan does, and adds them. What cannot be read is in the
// error, joined, and the rest is added.
func (w *Watch) Scan(fsys fs.FS, shown func(string) string) error {
	var found scan.Found
	err := found.Scan(fsys, shown)
	for _, f := range found.Certificates {
		w.add(w.certificate(f))
	}
	for _, l := range found.Lists {
		w.CRL(l.List, l.File)
	}
	return err
}

// Endings gives what was gathered, judged, what ends first first. What is revoked, superseded or abandoned is only among it
// when it was found on disk.
func (w *Watch) Endings() []Ending {
	var out []Ending
	for _, e := range w.endings {
		gone := e.Revoked || e.State == inventory.Superseded || e.State == inventory.Abandoned
		if gone && len(e.Files) == 0 {
			continue
		}
		switch {
		case !e.NotAfter.After(w.Now):
			e.Level = finding.Error
		case w.Fail.Due(e.NotBefore, e.NotAfter, w.Now):
			e.Level = finding.Error
			if e.Kind == OfCRL { // nothing stops
				e.Level = finding.Warning
			}
		case w.Warn.Due(e.NotBefore, e.NotAfter, w.Now):
			e.Level = finding.Warning
		}
		if e.Then = w.then(e); gone { // that it ends is what is wanted
			e.Level = 0
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Ending) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Layout, b.Layout))
	})
	return out
}

// then says what stops working (virNetTLSContextCheckCertTimes and its like in QEMU's tls-creds-x509: every certificate of
// the CA file and the own one must be valid when a daemon starts and when a client connects).
func (w *Watch) then(e Ending) string {
	switch {
	case e.Kind == OfCA:
		return "no daemon starts and no client connects that has this CA in its CA file, even where another one would do"
	case e.Kind == OfCRL:
		return "libvirt goes on with it and says nothing; revocations no longer arrive"
	case e.Revoked:
		return "nothing more: it is revoked"
	case e.State == inventory.Superseded:
		return "what still uses it here stops, although a newer one was issued"
	case e.State == inventory.Abandoned:
		return "nothing: it was never published"
	}
	name := e.Name
	if w.isMigration(e) {
		var others []string
		for _, h := range w.migrating {
			if h != name {
				others = append(others, h)
			}
		}
		if len(others) == 0 {
			return name + " can no longer migrate guests or serve them over TLS"
		}
		return fmt.Sprintf("%s can no longer receive migrations from, or send them to, %s", name, hint.Few(others))
	}
	service := map[layout.Kind]string{layout.QEMU: "TLS of the guests (VNC, migration, NBD, ...)", layout.QEMUVNC: "VNC over TLS",
		layout.QEMUSpice: "SPICE over TLS", layout.QEMUChardev: "character devices over TLS", layout.QEMUMigration: "migration",
		layout.QEMUNBD: "NBD over TLS", layout.QEMUBackup: "backup over TLS"}[layout.Kind(e.Layout)]
	switch {
	case service != "" && e.Role == certs.Client:
		return fmt.Sprintf("%s as a client no longer works for %s", service, name)
	case service != "":
		return fmt.Sprintf("%s on %s no longer works", service, name)
	case e.Role == certs.Server:
		return fmt.Sprintf("the daemon on %s no longer starts, and clients refuse it while it runs", name)
	case e.Role == certs.Client:
		return fmt.Sprintf("%s no longer connects: its own libvirt refuses the certificate", name)
	case e.Role == certs.Peer:
		return fmt.Sprintf("the daemon on %s no longer starts, and %s no longer connects to others", name, name)
	}
	return "whoever uses it is refused, and refuses to start or connect"
}

func (w *Watch) isMigration(e Ending) bool {
	return migrates(inventory.Entry{Role: e.Role, Layout: e.Layout})
}
