package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// reasons gives what speaks against a certificate of the authority's.
func (d *comparison) reasons(w want, e inventory.Entry, cert *certs.Certificate) []Why {
	var why []Why
	add := func(r Reason, format string, a ...any) { why = append(why, Why{r, fmt.Sprintf(format, a...)}) }
	switch {
	case e.Authority != d.known.ID:
		issuer, _ := cert.Issuer.Text()
		add(CAChanged, "it was issued by another key of %q", issuer)
	case e.Revoked != nil:
		add(Revoked, "it was revoked on %s (%s)", e.Revoked.At.UTC().Format("2006-01-02"), crl.Entry{Reason: e.Revoked.Reason}.ReasonText())
	case e.State == inventory.Superseded:
		add(SupersededBy, "the inventory says that another has taken its place")
	case e.State == inventory.Abandoned:
		add(SupersededBy, "the inventory says that it was never published")
	}
	o, err := d.changes.spec.order(w)
	if err != nil {
		add(NameChanged, "%v", err)
		return why
	}
	subject, err := o.Subject.Text()
	if have, _ := cert.Subject.Text(); err == nil && have != subject {
		add(NameChanged, "it is for %q, and is to be for %q", have, subject)
	}
	names, addresses := e.Names, e.Addresses
	if !sameSet(names, o.Names) {
		add(NameChanged, "%s", difference("name", names, o.Names))
	}
	if !sameSet(addresses, o.Addresses) {
		add(AddressChanged, "%s", difference("address", addresses, o.Addresses))
	}
	// One without purposes, which was adopted, is good for both.
	if e.Role != 0 && e.State != inventory.Foreign && e.Role != w.role && !(e.Role == certs.Peer && cert.ExtKeyUsage == nil) {
		add(RoleChanged, "it is for a %s, and is to be for a %s", e.Role, w.role)
	}
	if kind, ok := certs.AlgorithmOf(cert.PublicKey); w.member.Key != "" && kind != w.member.Key {
		is := string(kind)
		if !ok {
			is = "of another kind"
		}
		add(KeyTypeChanged, "its key is %s, and is to be %s", is, w.member.Key)
	}
	if text := d.compat(w, cert); text != "" {
		add(CompatChanged, "%s", text)
	}
	left := cert.NotAfter.Sub(d.now)
	switch {
	case !cert.NotAfter.Before(d.known.NotAfter) && cert.NotAfter.After(d.now):
		// A new one would end no later.
	case left <= 0:
		add(Due, "it ended on %s", cert.NotAfter.UTC().Format("2006-01-02"))
	case cert.NotBefore.After(d.now):
		add(Due, "it begins on %s only: is the clock right?", cert.NotBefore.UTC().Format("2006-01-02 15:04"))
	case d.Due.Due(cert.NotBefore, cert.NotAfter, d.now):
		add(Due, "%d of its %d days are left", int(left.Hours()/24), int(cert.NotAfter.Sub(cert.NotBefore).Hours()/24))
	}
	return why
}

// compat says which libvirt of those that must would not accept the certificate. What the rules look at besides dates and
// names is alike for many certificates, and is judged once.
func (d *comparison) compat(w want, cert *certs.Certificate) string {
	shape := d.shape[:0]
	shape = append(shape, byte(w.role), byte(len(w.fills)), byte(cert.Version))
	shape = append(append(shape, cert.SignatureAlgorithm...), 0)
	kind, ok := certs.AlgorithmOf(cert.PublicKey)
	if !ok {
		shape = fmt.Appendf(shape, "%T", cert.PublicKey)
	}
	shape = append(append(shape, kind...), 0)
	for _, x := range cert.Extensions {
		shape = append(append(shape, x.OID...), 0)
		if x.Critical {
			shape = append(shape, 1)
		}
		switch x.OID {
		case "2.5.29.14", "2.5.29.17", "2.5.29.35": // identifiers and names
		default:
			shape = append(append(shape, x.Value...), 0)
		}
	}
	d.shape = shape
	key := string(shape)
	if text, ok := d.shapes[key]; ok {
		return text
	}
	text := d.judgeShape(w, cert)
	d.shapes[key] = text
	return text
}

func (d *comparison) judgeShape(w want, cert *certs.Certificate) string {
	at := d.now
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		at = cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 2)
	}
	for _, role := range w.fills {
		own := verify.Own{Role: role, CertPath: "certificate", CAPath: "CA", Cert: cert, CAs: d.known.CAs, At: at}
		for _, v := range d.versions() {
			own.Libvirt = v
			for _, f := range own.Check() {
				// Of another CA, or a CA that has ended: other reasons.
				if f.Severity == finding.Error && !strings.Contains(f.Message, "issuer") && !strings.Contains(f.LibvirtMessage, "CA certificate") {
					return fmt.Sprintf("libvirt %s refuses it: %s", v, f.Message)
				}
			}
		}
	}
	return ""
}

// sameSet compares lists whose order does not count.
func sameSet[T comparable](a, b []T) bool {
	if slices.Equal(a, b) {
		return true
	}
	within := func(a, b []T) bool {
		return !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
	}
	return within(a, b) && within(b, a)
}

// difference says what is too much or missing in a certificate.
func difference[T comparable](what string, have, want []T) string {
	var parts []string
	for _, x := range want {
		if !slices.Contains(have, x) {
			parts = append(parts, fmt.Sprintf("it lacks the %s %v", what, x))
		}
	}
	for _, x := range have {
		if !slices.Contains(want, x) {
			parts = append(parts, fmt.Sprintf("it has the %s %v, which the file does not", what, x))
		}
	}
	const most = 3
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", len(parts)-most))
	}
	return strings.Join(parts, ", ")
}
