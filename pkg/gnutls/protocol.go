package gnutls

// The command session of virt-pki-gnutls makes one end's session for [Program.Handshake] and then carries what goes over it.
// It is spoken with so:
//
//   - standard input: one JSON object, a [Request]
//   - standard output: JSON objects, one a line: a [Greeting] at once, an [Answer] when the handshake has ended, then [Event]s
//   - descriptor [PeerDescriptor]: a socket to the peer
//   - descriptor [DataDescriptor]: a socket on which the session's data comes and goes; when it ends, so does the session,
//     without a close_notify, as libvirt leaves
//
// Credentials come in the request, so that the library sees the very bytes that were judged and no key is written
// anywhere. The two programs are of one build; the protocol may change with it.

// The descriptors of the command session: the first two after the standard ones.
const (
	PeerDescriptor = 3
	DataDescriptor = 4
)

// ExitNoLibrary is the exit status of virt-pki-gnutls when it finds no libgnutls.
const ExitNoLibrary = 3

// A Request says what session is to do.
type Request struct {
	Server   bool   `json:"server"`
	Priority string `json:"priority"`
	CA       []byte `json:"ca"` // PEM
	Cert     []byte `json:"cert"`
	Key      []byte `json:"key"`
	More     []Pair `json:"more,omitempty"`
	Timeout  int64  `json:"timeout_ms"`
}

// A Pair is a further identity.
type Pair struct {
	Cert []byte `json:"cert"` // PEM
	Key  []byte `json:"key"`
}

// A Greeting is what session says first, and the answer to version.
type Greeting struct {
	Schema int    `json:"schema"`
	GnuTLS string `json:"gnutls"` // the library's version
}

// An Answer says what a handshake came to. It is the answer to client and server, too, which alone go on to verify and
// confirmation.
type Answer struct {
	Schema int    `json:"schema"`
	GnuTLS string `json:"gnutls"`
	OK     bool   `json:"ok"`
	// Stage is where it ended: credentials, priority, handshake, verify, confirmation or done.
	Stage string `json:"stage"`
	Code  int    `json:"code"`
	Error string `json:"error,omitempty"` // GnuTLS's text
	// LibvirtMessage is what libvirt makes of it.
	LibvirtMessage string `json:"libvirt_message,omitempty"`
	Version        string `json:"version,omitempty"`
	// Suite is the name of the cipher suite as GnuTLS lists it, SuiteID its number.
	Suite       string `json:"suite,omitempty"`
	SuiteID     string `json:"suite_id,omitempty"`
	KeyExchange string `json:"key_exchange,omitempty"`
	Cipher      string `json:"cipher,omitempty"`
	MAC         string `json:"mac,omitempty"`
	Group       string `json:"group,omitempty"`
	Signature   string `json:"signature,omitempty"` // of the server
	// ClientSignature is the algorithm of the client's signature, empty where it sent no certificate.
	ClientSignature string `json:"client_signature,omitempty"`
	// Requested says that the server asked for a certificate, Authorities are the names it asked for (DER), and Sent says
	// that the client sent one; of a client's handshake.
	Requested    bool     `json:"requested,omitempty"`
	Authorities  [][]byte `json:"authorities,omitempty"`
	Sent         bool     `json:"sent,omitempty"`
	Own          []byte   `json:"own,omitempty"` // the certificate that this end showed, in DER
	VerifyStatus uint32   `json:"verify_status"`
	VerifyText   string   `json:"verify_text,omitempty"`
	Peer         [][]byte `json:"peer,omitempty"` // the peer's certificates in DER, base64 in JSON
}

// An Event is what happens after the handshake.
type Event struct {
	// Event is "ticket": a session ticket came in place of data; or "end": the session ended, with Code and Error of the
	// library, 0 for a close_notify.
	Event string `json:"event"`
	Code  int    `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}
