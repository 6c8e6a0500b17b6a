package priority

// The protocol versions. The order within TLS and within DTLS is that of age.
const (
	vNone uint8 = iota
	vSSL30
	vTLS10
	vTLS11
	vTLS12
	vTLS13
	vDTLS09
	vDTLS10
	vDTLS12
)

var protocolTable = newTable([]entry{
	vSSL30: {name: "SSL3.0"}, vTLS10: {name: "TLS1.0"}, vTLS11: {name: "TLS1.1"}, vTLS12: {name: "TLS1.2"},
	vTLS13: {name: "TLS1.3"}, vDTLS09: {name: "DTLS0.9"}, vDTLS10: {name: "DTLS1.0"}, vDTLS12: {name: "DTLS1.2"},
})

// wireVersion is the number of a version in a record or a hello.
var wireVersion = [...]uint16{vSSL30: 0x0300, vTLS10: 0x0301, vTLS11: 0x0302, vTLS12: 0x0303, vTLS13: 0x0304,
	vDTLS09: 0x0100, vDTLS10: 0xfeff, vDTLS12: 0xfefd}

func isTLS(v uint8) bool { return v >= vSSL30 && v <= vTLS13 }

// highest gives the highest version of a kind in a list, vNone if there is none.
func highest(l *list, tls bool) uint8 {
	best := vNone
	for _, v := range l.all() {
		if isTLS(v) == tls && v > best {
			best = v
		}
	}
	return best
}

// lowestTLS gives the lowest TLS version in a list, vNone if there is none.
func lowestTLS(l *list) uint8 {
	best := vNone
	for _, v := range l.all() {
		if isTLS(v) && (best == vNone || v < best) {
			best = v
		}
	}
	return best
}

// The certificate types.
const (
	ctypeNone uint8 = iota
	ctypeX509
	ctypeRawPK
)

var ctypeTable = newTable([]entry{ctypeX509: {name: "X509"}, ctypeRawPK: {name: "RAWPK"}})
