package verify

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

// A judge applies to one certificate the checks that libvirt makes alike on its own certificates and on a peer's.
type judge struct {
	// path is the name in libvirt's messages: a file, or "[session]".
	path string
	// subject is the finding's.
	subject string
	// what names the certificate in sentences: "the server certificate", "CA 2 in the file".
	what    string
	effect  finding.Effect
	libvirt Version
	at      time.Time
}

// refuse makes the finding of a refusal.
func (j judge) refuse(id, message, libvirtMessage string) finding.Finding {
	f := rule(id).Finding(j.subject, message)
	f.Severity, f.Effect, f.LibvirtMessage = finding.Error, j.effect, libvirtMessage
	return f
}

// warn makes the finding of what libvirt only writes into its log.
func (j judge) warn(id, message, libvirtMessage string) finding.Finding {
	f := rule(id).Finding(j.subject, message)
	f.Severity, f.Effect, f.LibvirtMessage = finding.Warning, finding.Warns, libvirtMessage
	return f
}

// times is virNetTLSCertCheckTimes. word is the one libvirt uses: CA, server or client.
func (j judge) times(c *certs.Certificate, word, expired, notYet string) []finding.Finding {
	at := j.at.Truncate(time.Second) // libvirt compares whole seconds
	switch {
	case c.NotAfter.Before(at):
		f := j.refuse(expired, fmt.Sprintf("%s expired at %s.", sentenceStart(j.what), c.NotAfter.UTC().Format(time.RFC3339)),
			fmt.Sprintf("The %s certificate %s has expired", word, j.path))
		f.Evidence = map[string]string{"not_after": c.NotAfter.UTC().Format(time.RFC3339)}
		return []finding.Finding{f}
	case c.NotBefore.After(at):
		f := j.refuse(notYet, fmt.Sprintf("%s is not valid before %s.", sentenceStart(j.what), c.NotBefore.UTC().Format(time.RFC3339)),
			fmt.Sprintf("The %s certificate %s is not yet active", word, j.path))
		f.Evidence = map[string]string{"not_before": c.NotBefore.UTC().Format(time.RFC3339)}
		return []finding.Finding{f}
	}
	return nil
}

func sentenceStart(s string) string {
	s = sentence(s)
	return s[:len(s)-1]
}

// unreadable finds an extension that is there but could not be read by the certificate's reader.
func (j judge) unreadable(c *certs.Certificate, oid, words string) []finding.Finding {
	value, ok := extension(c, oid)
	if !ok {
		return nil
	}
	text := ""
	switch {
	case len(value) == 0:
		text = "ASN1 parser: Error in DER parsing." // before libtasn1 looks for a tag
	case oid == oidKeyUsage && c.KeyUsage != nil:
		text = c.KeyUsage.Trouble
	case oid == oidExtKeyUsage && c.ExtKeyUsage != nil:
		text = c.ExtKeyUsage.Trouble
	case oid == oidBasicConstraints && c.BasicConstraints != nil:
		text = c.BasicConstraints.Trouble
	}
	return []finding.Finding{j.refuse("extension-unreadable",
		fmt.Sprintf("%s has an extension %s that cannot be read.", sentenceStart(j.what), oid),
		fmt.Sprintf("Unable to query certificate %s %s %s", j.path, words, text))}
}

// leafConstraints is virNetTLSCertCheckBasicConstraints for a leaf in a role.
func (j judge) leafConstraints(c *certs.Certificate, role certs.Role) []finding.Finding {
	switch {
	case c.BasicConstraints == nil || c.BasicConstraints.Undecodable:
		return j.unreadable(c, oidBasicConstraints, "basic constraints")
	case c.BasicConstraints.CA:
		return []finding.Finding{j.refuse("leaf-is-ca",
			fmt.Sprintf("%s is a CA certificate (CA:TRUE), where a %v's certificate belongs.", sentenceStart(j.what), role),
			fmt.Sprintf("The certificate %s basic constraints show a CA, but we need one for a %v", j.path, role))}
	}
	return nil
}

// caConstraints is the same for a CA.
func (j judge) caConstraints(c *certs.Certificate) []finding.Finding {
	switch {
	case c.BasicConstraints == nil || c.BasicConstraints.Undecodable:
		if fs := j.unreadable(c, oidBasicConstraints, "basic constraints"); fs != nil {
			return fs
		}
		return []finding.Finding{j.refuse("ca-is-no-ca",
			fmt.Sprintf("%s has no basicConstraints extension and so does not say that it is a CA.", sentenceStart(j.what)),
			fmt.Sprintf("The certificate %s is missing basic constraints for a CA", j.path))}
	case !c.BasicConstraints.CA:
		return []finding.Finding{j.refuse("ca-is-no-ca",
			fmt.Sprintf("%s says that it is no CA (CA:FALSE).", sentenceStart(j.what)),
			fmt.Sprintf("The certificate %s basic constraints do not show a CA", j.path))}
	}
	return nil
}

// usage is virNetTLSCertCheckKeyUsage.
func (j judge) usage(c *certs.Certificate, ca bool) []finding.Finding {
	if c.KeyUsage == nil || c.KeyUsage.Undecodable {
		return j.unreadable(c, oidKeyUsage, "key usage")
	}
	var out []finding.Finding
	need := func(bit x509.KeyUsage, id, name, words string) {
		if c.KeyUsage.Bits&bit != 0 {
			return
		}
		text := fmt.Sprintf("Certificate %s usage does not permit %s", j.path, words)
		if c.KeyUsage.Critical {
			out = append(out, j.refuse(id, fmt.Sprintf("%s has a critical keyUsage without %s.", sentenceStart(j.what), name), text))
			return
		}
		out = append(out, j.warn(id, fmt.Sprintf("%s has a keyUsage without %s; libvirt only warns, as the extension is not critical.",
			sentenceStart(j.what), name), text))
	}
	if ca {
		need(x509.KeyUsageCertSign, "ca-without-certsign", "keyCertSign", "certificate signing")
		return out
	}
	need(x509.KeyUsageDigitalSignature, "no-digital-signature", "digitalSignature", "digital signature")
	if !j.libvirt.NoKeyEncipherment {
		need(x509.KeyUsageKeyEncipherment, "no-key-encipherment", "keyEncipherment", "key encipherment")
	}
	return out
}

// purpose is virNetTLSCertCheckKeyPurpose with its twist: anyExtendedKeyUsage allows nothing, and a purpose that libvirt
// does not know allows both roles.
func (j judge) purpose(c *certs.Certificate, role certs.Role) []finding.Finding {
	eku := c.ExtKeyUsage
	if eku == nil {
		return nil
	}
	if eku.Undecodable {
		return j.unreadable(c, oidExtKeyUsage, "key purpose")
	}
	server, client := len(eku.Purposes) == 0, len(eku.Purposes) == 0
	for _, oid := range eku.Purposes {
		switch oid {
		case oidServerAuth:
			server = true
		case oidClientAuth:
			client = true
		case oidAnyPurpose:
		default:
			server, client = true, true
		}
	}
	if role == certs.Server && server || role == certs.Client && client {
		return nil
	}
	text := fmt.Sprintf("Certificate %s purpose does not allow use for with a TLS %v", j.path, role)
	if eku.Critical {
		return []finding.Finding{j.refuse("wrong-purpose",
			fmt.Sprintf("%s has a critical extendedKeyUsage that does not allow a TLS %v.", sentenceStart(j.what), role), text)}
	}
	return []finding.Finding{j.warn("wrong-purpose",
		fmt.Sprintf("%s has an extendedKeyUsage that does not allow a TLS %v; libvirt only warns, as the extension is not critical.",
			sentenceStart(j.what), role), text)}
}
