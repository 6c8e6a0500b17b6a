package priority

// Kinds of groups: GnuTLS never interleaves them in what it offers.
const (
	kindNone uint8 = iota // an identifier without a group: printed as (null), never offered
	kindEC
	kindDH
	kindHybrid
	kindKEM // a building block of hybrids, without a TLS number
)

// A group is one row of GnuTLS's table of groups (lib/algorithms/groups.c). pk tells apart what gets key shares of its
// own: a client sends one for the first group and one for the next of another pk.
type group struct {
	id    uint16
	kind  uint8
	pk    uint8
	curve uint8 // the curve that must be there and enabled; curveNone for finite fields
}

// The public key algorithms of groups.
const (
	pkNone uint8 = iota
	pkECDSA
	pkMontgomery // X25519 and X448
	pkGOST256
	pkGOST512
	pkDH
	pkMLKEM
)

// The groups. The last ones are curves that are no groups: CURVE-Ed25519 puts an identifier without a name into the list.
const (
	gNone uint8 = iota
	gSECP192R1
	gSECP224R1
	gSECP256R1
	gSECP384R1
	gSECP521R1
	gX25519
	gX448
	gGC256A
	gGC256B
	gGC256C
	gGC256D
	gGC512A
	gGC512B
	gGC512C
	gFFDHE2048
	gFFDHE3072
	gFFDHE4096
	gFFDHE6144
	gFFDHE8192
	gSECP256R1MLKEM768
	gX25519MLKEM768
	gSECP384R1MLKEM1024
	gX25519KYBER768
	gMLKEM768
	gMLKEM1024
	gKYBER768
	gNamelessEd25519
	gNamelessEd448
	gNamelessCryptoProA
	gNamelessCryptoProXchA
)

// groupTable holds the names of groups.
var groupTable = newTable([]entry{
	gSECP192R1:          {name: "SECP192R1"},
	gSECP224R1:          {name: "SECP224R1"},
	gSECP256R1:          {name: "SECP256R1"},
	gSECP384R1:          {name: "SECP384R1"},
	gSECP521R1:          {name: "SECP521R1"},
	gX25519:             {name: "X25519"},
	gX448:               {name: "X448"},
	gGC256A:             {name: "GC256A"},
	gGC256B:             {name: "GC256B"},
	gGC256C:             {name: "GC256C"},
	gGC256D:             {name: "GC256D"},
	gGC512A:             {name: "GC512A"},
	gGC512B:             {name: "GC512B"},
	gGC512C:             {name: "GC512C"},
	gFFDHE2048:          {name: "FFDHE2048"},
	gFFDHE3072:          {name: "FFDHE3072"},
	gFFDHE4096:          {name: "FFDHE4096"},
	gFFDHE6144:          {name: "FFDHE6144"},
	gFFDHE8192:          {name: "FFDHE8192"},
	gSECP256R1MLKEM768:  {name: "SECP256R1-MLKEM768", since: Release{3, 8, 8}, pqc: true},
	gX25519MLKEM768:     {name: "X25519-MLKEM768", since: Release{3, 8, 8}, pqc: true},
	gSECP384R1MLKEM1024: {name: "SECP384R1-MLKEM1024", since: Release{3, 8, 9}, pqc: true},
	gX25519KYBER768:     {name: "X25519-KYBER768", since: Release{3, 8, 7}, until: Release{3, 8, 10}, pqc: true},
	gMLKEM768:           {name: "MLKEM768", since: Release{3, 8, 8}, pqc: true},
	gMLKEM1024:          {name: "MLKEM1024", since: Release{3, 8, 9}, pqc: true},
	gKYBER768:           {name: "KYBER768", since: Release{3, 8, 7}, until: Release{3, 8, 10}, pqc: true},
	gNamelessEd25519:    {}, gNamelessEd448: {}, gNamelessCryptoProA: {}, gNamelessCryptoProXchA: {},
})

var groups = [...]group{
	gSECP192R1:          {0x0013, kindEC, pkECDSA, curveSECP192R1},
	gSECP224R1:          {0x0015, kindEC, pkECDSA, curveSECP224R1},
	gSECP256R1:          {0x0017, kindEC, pkECDSA, curveSECP256R1},
	gSECP384R1:          {0x0018, kindEC, pkECDSA, curveSECP384R1},
	gSECP521R1:          {0x0019, kindEC, pkECDSA, curveSECP521R1},
	gX25519:             {0x001d, kindEC, pkMontgomery, curveX25519},
	gX448:               {0x001e, kindEC, pkMontgomery, curveX448},
	gGC256A:             {0x0022, kindEC, pkGOST256, curveTC26256A},
	gGC256B:             {0x0023, kindEC, pkGOST256, curveTC26256B},
	gGC256C:             {0x0024, kindEC, pkGOST256, curveTC26256C},
	gGC256D:             {0x0025, kindEC, pkGOST256, curveTC26256D},
	gGC512A:             {0x0026, kindEC, pkGOST512, curveTC26512A},
	gGC512B:             {0x0027, kindEC, pkGOST512, curveTC26512B},
	gGC512C:             {0x0028, kindEC, pkGOST512, curveTC26512C},
	gFFDHE2048:          {0x0100, kindDH, pkDH, curveNone},
	gFFDHE3072:          {0x0101, kindDH, pkDH, curveNone},
	gFFDHE4096:          {0x0102, kindDH, pkDH, curveNone},
	gFFDHE6144:          {0x0103, kindDH, pkDH, curveNone},
	gFFDHE8192:          {0x0104, kindDH, pkDH, curveNone},
	gSECP256R1MLKEM768:  {0x11eb, kindHybrid, pkMLKEM, curveNone},
	gX25519MLKEM768:     {0x11ec, kindHybrid, pkMLKEM, curveNone},
	gSECP384R1MLKEM1024: {0x11ed, kindHybrid, pkMLKEM, curveNone},
	gX25519KYBER768:     {0x6399, kindHybrid, pkMLKEM, curveNone},
	gMLKEM768:           {0, kindKEM, pkMLKEM, curveNone},
	gMLKEM1024:          {0, kindKEM, pkMLKEM, curveNone},
	gKYBER768:           {0, kindKEM, pkMLKEM, curveNone},
	gNamelessEd25519:    {}, gNamelessEd448: {}, gNamelessCryptoProA: {}, gNamelessCryptoProXchA: {},
}

// The curves: what CURVE- and the curve overrides of the system file name.
const (
	curveNone uint8 = iota
	curveSECP192R1
	curveSECP224R1
	curveSECP256R1
	curveSECP384R1
	curveSECP521R1
	curveX25519
	curveX448
	curveTC26256B
	curveTC26512A
	curveEd25519
	curveEd448
	curveCryptoProA
	curveCryptoProXchA
	curveCryptoProB
	curveCryptoProC
	curveCryptoProXchB
	curveTC26256A
	curveTC26256C
	curveTC26256D
	curveTC26512B
	curveTC26512C
)

// curveTable holds the names of curves, those that nettle 3.8.1 does not have included: naming one is an error.
var curveTable = newTable([]entry{
	curveSECP192R1:     {name: "SECP192R1"},
	curveSECP224R1:     {name: "SECP224R1"},
	curveSECP256R1:     {name: "SECP256R1"},
	curveSECP384R1:     {name: "SECP384R1"},
	curveSECP521R1:     {name: "SECP521R1"},
	curveX25519:        {name: "X25519"},
	curveX448:          {name: "X448"},
	curveTC26256B:      {name: "TC26-256-B"},
	curveTC26512A:      {name: "TC26-512-A"},
	curveEd25519:       {name: "Ed25519"},
	curveEd448:         {name: "Ed448"},
	curveCryptoProA:    {name: "CryptoPro-A"},
	curveCryptoProXchA: {name: "CryptoPro-XchA"},
	curveCryptoProB:    {name: "CryptoPro-B"},
	curveCryptoProC:    {name: "CryptoPro-C"},
	curveCryptoProXchB: {name: "CryptoPro-XchB"},
	curveTC26256A:      {name: "TC26-256-A"},
	curveTC26256C:      {name: "TC26-256-C"},
	curveTC26256D:      {name: "TC26-256-D"},
	curveTC26512B:      {name: "TC26-512-B"},
	curveTC26512C:      {name: "TC26-512-C"},
})

// curveGroup is the group identifier that CURVE-X stands for; gNone where the library lacks the curve.
var curveGroup = [...]uint8{
	curveSECP192R1:     gSECP192R1,
	curveSECP224R1:     gSECP224R1,
	curveSECP256R1:     gSECP256R1,
	curveSECP384R1:     gSECP384R1,
	curveSECP521R1:     gSECP521R1,
	curveX25519:        gX25519,
	curveX448:          gX448,
	curveTC26256B:      gGC256B,
	curveTC26512A:      gGC512A,
	curveEd25519:       gNamelessEd25519,
	curveEd448:         gNamelessEd448,
	curveCryptoProA:    gNamelessCryptoProA,
	curveCryptoProXchA: gNamelessCryptoProXchA,
	curveCryptoProB:    gNone,
	curveCryptoProC:    gNone,
	curveCryptoProXchB: gNone,
	curveTC26256A:      gNone,
	curveTC26256C:      gNone,
	curveTC26256D:      gNone,
	curveTC26512B:      gNone,
	curveTC26512C:      gNone,
}
