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

// isTLS says whether v is a TLS version. SSL 3.0 is none: it can stay in the list but is not compiled in.
func isTLS(v uint8) bool { return v >= vTLS10 && v <= vTLS13 }

func isDTLS(v uint8) bool { return v >= vDTLS09 }

// highest gives the highest version of a kind in a list, vNone if there is none.
func highest(l *list, kind func(uint8) bool) uint8 {
	best := vNone
	for _, v := range l.all() {
		if kind(v) && v > best {
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
