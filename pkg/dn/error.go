package dn

// An Error is GnuTLS's refusal to give a name's text.
type Error struct {
	// Code is GnuTLS's error number, 0 where GnuTLS does not come to return one.
	Code int
	// Text is GnuTLS's text for it.
	Text string

	hint string
}

// Error gives the text.
func (e *Error) Error() string { return e.Text }

// Hints says what to do.
func (e *Error) Hints() []string {
	if e.hint == "" {
		return nil
	}
	return []string{e.hint}
}

// The refusals of gnutls_x509_crt_get_dn.
var (
	// ErrEmpty is the refusal of a name without any RDN.
	ErrEmpty = &Error{-56, "The requested data were not available.",
		"the subject is empty; issue the certificate anew with a subject, at least a CN"}
	// ErrEmptyValue is the refusal of an empty DirectoryString (from GnuTLS 3.7.5 on).
	ErrEmptyValue = &Error{-72, "ASN1 parser: Value is not valid.",
		"an attribute of the subject has an empty value; issue the certificate anew without it"}
	// ErrOctetString is the refusal of a NUL in localKeyID or messageDigest, which no subject should have.
	ErrOctetString = &Error{-69, "ASN1 parser: Error in DER parsing.",
		"the subject has a binary attribute (1.2.840.113549.1.9.21 or .4); issue the certificate anew without it"}
	// ErrLongOID is the refusal of an attribute type whose text has more than 126 characters.
	ErrLongOID = &Error{-51, "The given memory buffer is too short to hold parameters.",
		"an attribute type of the subject is an OID of more than 126 characters; issue the certificate anew without it"}
	// ErrAborts stands for the end of the process: GnuTLS has an assertion that fails when all RDNs are empty
	// (lib/x509/dn.c, _gnutls_x509_parse_dn). virt-pki-query-dn, and a libvirtd that such a client reaches, abort.
	ErrAborts = &Error{0, "the name has only empty RDNs: GnuTLS, and with it virt-pki-query-dn and libvirtd, aborts on it",
		"never let a certificate with this subject reach libvirt; issue it anew with a subject, at least a CN"}
)
