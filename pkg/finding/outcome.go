package finding

// Outcome is the one word for what a connection attempt comes to.
type Outcome string

// The outcomes.
const (
	Connected           Outcome = "connected"             // transport and TLS done, byte 0x01 read, RPC open answered
	URIError            Outcome = "uri-error"             // the URI or a parameter is refused before anything else
	ClientConfError     Outcome = "client-conf-error"     // the client's libvirt.conf stops the connection
	ClientLocal         Outcome = "client-local"          // the client stops on its own files before any traffic
	Network             Outcome = "network"               // not resolved, refused, unreachable, timed out
	TransportFails      Outcome = "transport-fails"       // ssh, libssh, ext or the socket failed
	HandshakeFails      Outcome = "handshake-fails"       // no TLS session
	ClientRejectsServer Outcome = "client-rejects-server" // the client refuses the server's certificate
	ServerRejectsClient Outcome = "server-rejects-client" // closed after the handshake without the byte
	AuthFails           Outcome = "auth-fails"            // SASL or polkit refused, or a mechanism is missing
	OpenFails           Outcome = "open-fails"            // everything stands, the RPC open was refused
	Hangs               Outcome = "hangs"                 // nothing within the time limit
	DaemonDown          Outcome = "daemon-down"           // predictions only: the daemon would not start
)

// Outcomes gives all outcomes, in the order in which a connection comes to them.
func Outcomes() []Outcome {
	return []Outcome{Connected, URIError, ClientConfError, ClientLocal, Network, TransportFails, HandshakeFails,
		ClientRejectsServer, ServerRejectsClient, AuthFails, OpenFails, Hangs, DaemonDown}
}
