package priority

// A keyword is one of the words a string begins with: it fills the lists and bounds the verification profile.
type keyword struct {
	name       string
	ciphers    []uint8
	macs       []uint8
	kx         []uint8
	signatures []uint8
	modern     bool // signatures gain ML-DSA from 3.8.10 on
	groups     []uint8
	protocols  []uint8 // nil: those of the start
	profile    Profile
	level      Level
	noTickets  bool // no session tickets up to TLS 1.2
}

var (
	protocolsStart = []uint8{vTLS13, vTLS12, vTLS11, vTLS10, vDTLS12, vDTLS10}
	protocolsTLS   = []uint8{vTLS13, vTLS12, vTLS11, vTLS10}
	protocolsDTLS  = []uint8{vDTLS12, vDTLS10}

	ciphersNormal = []uint8{cAES256GCM, cCHACHA20POLY1305, cAES256CCM, cAES256CBC, cAES128GCM, cAES128CCM, cAES128CBC}
	ciphersSecure = []uint8{cAES256GCM, cCHACHA20POLY1305, cAES256CBC, cAES256CCM, cAES128GCM, cAES128CBC, cAES128CCM}
	// The order of ciphersFast is that of CPUs with AES instructions; an x86 without them has CHACHA20-POLY1305 first.
	ciphersFast = []uint8{cAES128GCM, cAES256GCM, cCHACHA20POLY1305, cAES128CCM, cAES256CCM, cAES128CBC, cAES256CBC}
	ciphersSlow = []uint8{cCHACHA20POLY1305, cAES128GCM, cAES256GCM, cAES128CCM, cAES256CCM, cAES128CBC, cAES256CBC}

	macsNormal = []uint8{mSHA1, mAEAD}
	macsAEAD   = []uint8{mAEAD}

	kxNormal = []uint8{kxECDHEECDSA, kxECDHERSA, kxRSA, kxDHERSA}

	groupsEC     = []uint8{gSECP256R1, gSECP384R1, gSECP521R1, gX25519, gX448}
	groupsDH     = []uint8{gFFDHE2048, gFFDHE3072, gFFDHE4096, gFFDHE6144, gFFDHE8192}
	groupsGOST   = []uint8{gGC256A, gGC256B, gGC256C, gGC256D, gGC512A, gGC512B, gGC512C}
	groupsNormal = append(append([]uint8{}, groupsEC...), groupsDH...)

	signaturesMLDSA  = []uint8{sMLDSA44, sMLDSA65, sMLDSA87}
	signaturesNormal = []uint8{
		sRSASHA256, sRSAPSSSHA256, sRSAPSSRSAESHA256, sECDSASHA256, sECDSASECP256R1SHA256, sEdDSAEd25519,
		sRSASHA384, sRSAPSSSHA384, sRSAPSSRSAESHA384, sECDSASHA384, sECDSASECP384R1SHA384, sEdDSAEd448,
		sRSASHA512, sRSAPSSSHA512, sRSAPSSRSAESHA512, sECDSASHA512, sECDSASECP521R1SHA512,
		sRSASHA1, sECDSASHA1,
	}
	signaturesGOST = []uint8{sGOSTR341012256, sGOSTR341012512}

	ctypesAll = []uint8{ctypeX509, ctypeRawPK}
)

// keywords are GnuTLS's initial keywords (lib/priority.c, the tables behind gnutls_priority_init). Aliases are further
// rows: "SECURE" is SECURE128 and "SECURE256" is SECURE192.
var keywords = [...]keyword{
	{name: "NORMAL", ciphers: ciphersNormal, macs: macsNormal, kx: kxNormal, signatures: signaturesNormal, modern: true,
		groups: groupsNormal, profile: ProfileLow, level: LevelWeak},
	{name: "PERFORMANCE", ciphers: ciphersFast, macs: macsNormal,
		kx: []uint8{kxRSA, kxECDHEECDSA, kxECDHERSA, kxDHERSA}, signatures: signaturesNormal, modern: true,
		groups: groupsNormal, profile: ProfileLow, level: LevelWeak},
	{name: "LEGACY", ciphers: ciphersNormal, macs: macsNormal, kx: kxNormal, signatures: signaturesNormal, modern: true,
		groups: groupsNormal, profile: ProfileNone, level: LevelVeryWeak},
	{name: "PFS", ciphers: ciphersNormal, macs: macsNormal, kx: []uint8{kxECDHEECDSA, kxECDHERSA, kxDHERSA},
		signatures: signaturesNormal, modern: true, groups: groupsNormal, profile: ProfileLow, level: LevelWeak,
		noTickets: true},
	secure128("SECURE128"), secure128("SECURE"),
	secure192("SECURE192"), secure192("SECURE256"),
	{name: "SUITEB128", ciphers: []uint8{cAES256GCM, cAES128GCM}, macs: macsAEAD, kx: []uint8{kxECDHEECDSA},
		signatures: []uint8{sECDSASHA256, sECDSASECP256R1SHA256, sECDSASHA384, sECDSASECP384R1SHA384},
		groups:     []uint8{gSECP256R1, gSECP384R1}, protocols: []uint8{vTLS12}, profile: ProfileSuiteB128, level: LevelHigh},
	{name: "SUITEB192", ciphers: []uint8{cAES256GCM}, macs: macsAEAD, kx: []uint8{kxECDHEECDSA},
		signatures: []uint8{sECDSASHA384, sECDSASECP384R1SHA384},
		groups:     []uint8{gSECP384R1}, protocols: []uint8{vTLS12}, profile: ProfileSuiteB192, level: LevelUltra},
}

func secure128(name string) keyword {
	return keyword{name: name, ciphers: ciphersSecure, macs: macsNormal, kx: kxNormal,
		signatures: signaturesNormal[:17], groups: groupsNormal, profile: ProfileLow, level: LevelLow}
}

func secure192(name string) keyword {
	return keyword{name: name, ciphers: ciphersSecure[:4], macs: macsAEAD, kx: kxNormal,
		signatures: signaturesNormal[6:17], groups: []uint8{gSECP384R1, gSECP521R1, gFFDHE8192},
		profile: ProfileHigh, level: LevelHigh}
}

// keywordTable finds keywords by name; positions are those of keywords plus one.
var keywordTable = func() *table {
	es := make([]entry, len(keywords)+1)
	for i, k := range keywords {
		es[i+1].name = k.name
	}
	return newTable(es)
}()

// Keywords gives the initial keywords that a string can begin with, aliases included.
func Keywords() []string {
	out := []string{"NONE"}
	for _, k := range keywords {
		out = append(out, k.name)
	}
	return out
}
