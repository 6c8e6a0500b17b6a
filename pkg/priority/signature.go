package priority

// Where a signature algorithm may be used: up to TLS 1.2, in TLS 1.3, or (it has no TLS number) nowhere.
const (
	semNever uint8 = 0
	semPre13 uint8 = 1
	sem13    uint8 = 2
	semBoth  uint8 = semPre13 | sem13
)

// A signature is one row of GnuTLS's table of signature algorithms (lib/algorithms/sign.c).
type signature struct {
	id     uint16 // the SignatureScheme of RFC 8446 section 4.2.3; 0: none, never offered
	sem    uint8
	digest uint8
	key    KeyKind // the certificate key that can make it
}

// The signature algorithms that GnuTLS accepts by name.
const (
	sNone uint8 = iota
	sRSASHA256
	sRSASHA384
	sRSASHA512
	sRSAPSSSHA256
	sRSAPSSSHA384
	sRSAPSSSHA512
	sRSAPSSRSAESHA256
	sRSAPSSRSAESHA384
	sRSAPSSRSAESHA512
	sEdDSAEd25519
	sEdDSAEd448
	sECDSASHA256
	sECDSASHA384
	sECDSASHA512
	sECDSASECP256R1SHA256
	sECDSASECP384R1SHA384
	sECDSASECP521R1SHA512
	sRSASHA1
	sECDSASHA1
	sDSASHA1
	sGOSTR341012256
	sGOSTR341012512
	sECDSASHA224
	sRSASHA224
	sDSASHA224
	sDSASHA256
	sDSASHA384
	sDSASHA512
	sRSARMD160
	sRSAMD5
	sRSAMD2
	sRSARAW
	sGOSTR341001
	sRSASHA3224
	sRSASHA3256
	sRSASHA3384
	sRSASHA3512
	sDSASHA3224
	sDSASHA3256
	sDSASHA3384
	sDSASHA3512
	sECDSASHA3224
	sECDSASHA3256
	sECDSASHA3384
	sECDSASHA3512
	sMLDSA44
	sMLDSA65
	sMLDSA87
)

// signatureTable holds their names.
var signatureTable = newTable([]entry{
	sRSASHA256:            {name: "RSA-SHA256"},
	sRSASHA384:            {name: "RSA-SHA384"},
	sRSASHA512:            {name: "RSA-SHA512"},
	sRSAPSSSHA256:         {name: "RSA-PSS-SHA256"},
	sRSAPSSSHA384:         {name: "RSA-PSS-SHA384"},
	sRSAPSSSHA512:         {name: "RSA-PSS-SHA512"},
	sRSAPSSRSAESHA256:     {name: "RSA-PSS-RSAE-SHA256"},
	sRSAPSSRSAESHA384:     {name: "RSA-PSS-RSAE-SHA384"},
	sRSAPSSRSAESHA512:     {name: "RSA-PSS-RSAE-SHA512"},
	sEdDSAEd25519:         {name: "EdDSA-Ed25519"},
	sEdDSAEd448:           {name: "EdDSA-Ed448"},
	sECDSASHA256:          {name: "ECDSA-SHA256"},
	sECDSASHA384:          {name: "ECDSA-SHA384"},
	sECDSASHA512:          {name: "ECDSA-SHA512"},
	sECDSASECP256R1SHA256: {name: "ECDSA-SECP256R1-SHA256"},
	sECDSASECP384R1SHA384: {name: "ECDSA-SECP384R1-SHA384"},
	sECDSASECP521R1SHA512: {name: "ECDSA-SECP521R1-SHA512"},
	sRSASHA1:              {name: "RSA-SHA1"},
	sECDSASHA1:            {name: "ECDSA-SHA1"},
	sDSASHA1:              {name: "DSA-SHA1"},
	sGOSTR341012256:       {name: "GOSTR341012-256"},
	sGOSTR341012512:       {name: "GOSTR341012-512"},
	sECDSASHA224:          {name: "ECDSA-SHA224"},
	sRSASHA224:            {name: "RSA-SHA224"},
	sDSASHA224:            {name: "DSA-SHA224"},
	sDSASHA256:            {name: "DSA-SHA256"},
	sDSASHA384:            {name: "DSA-SHA384"},
	sDSASHA512:            {name: "DSA-SHA512"},
	sRSARMD160:            {name: "RSA-RMD160"},
	sRSAMD5:               {name: "RSA-MD5"},
	sRSAMD2:               {name: "RSA-MD2"},
	sRSARAW:               {name: "RSA-RAW"},
	sGOSTR341001:          {name: "GOSTR341001"},
	sRSASHA3224:           {name: "RSA-SHA3-224"},
	sRSASHA3256:           {name: "RSA-SHA3-256"},
	sRSASHA3384:           {name: "RSA-SHA3-384"},
	sRSASHA3512:           {name: "RSA-SHA3-512"},
	sDSASHA3224:           {name: "DSA-SHA3-224"},
	sDSASHA3256:           {name: "DSA-SHA3-256"},
	sDSASHA3384:           {name: "DSA-SHA3-384"},
	sDSASHA3512:           {name: "DSA-SHA3-512"},
	sECDSASHA3224:         {name: "ECDSA-SHA3-224"},
	sECDSASHA3256:         {name: "ECDSA-SHA3-256"},
	sECDSASHA3384:         {name: "ECDSA-SHA3-384"},
	sECDSASHA3512:         {name: "ECDSA-SHA3-512"},
	sMLDSA44:              {name: "ML-DSA-44", since: Release{3, 8, 9}},
	sMLDSA65:              {name: "ML-DSA-65", since: Release{3, 8, 9}},
	sMLDSA87:              {name: "ML-DSA-87", since: Release{3, 8, 9}},
})

var signatures = [...]signature{
	sRSASHA256:            {0x0401, semBoth, dSHA256, KeyRSA},
	sRSASHA384:            {0x0501, semBoth, dSHA384, KeyRSA},
	sRSASHA512:            {0x0601, semBoth, dSHA512, KeyRSA},
	sRSAPSSSHA256:         {0x0809, semBoth, dSHA256, KeyRSAPSS},
	sRSAPSSSHA384:         {0x080a, semBoth, dSHA384, KeyRSAPSS},
	sRSAPSSSHA512:         {0x080b, semBoth, dSHA512, KeyRSAPSS},
	sRSAPSSRSAESHA256:     {0x0804, semBoth, dSHA256, KeyRSA},
	sRSAPSSRSAESHA384:     {0x0805, semBoth, dSHA384, KeyRSA},
	sRSAPSSRSAESHA512:     {0x0806, semBoth, dSHA512, KeyRSA},
	sEdDSAEd25519:         {0x0807, semBoth, dSHA512, KeyEd25519},
	sEdDSAEd448:           {0x0808, semBoth, dSHAKE256, KeyEd448},
	sECDSASHA256:          {0x0403, semPre13, dSHA256, anyECDSA},
	sECDSASHA384:          {0x0503, semPre13, dSHA384, anyECDSA},
	sECDSASHA512:          {0x0603, semPre13, dSHA512, anyECDSA},
	sECDSASECP256R1SHA256: {0x0403, sem13, dSHA256, KeyECDSAP256},
	sECDSASECP384R1SHA384: {0x0503, sem13, dSHA384, KeyECDSAP384},
	sECDSASECP521R1SHA512: {0x0603, sem13, dSHA512, KeyECDSAP521},
	sRSASHA1:              {0x0201, semBoth, dSHA1, KeyRSA},
	sECDSASHA1:            {0x0203, semBoth, dSHA1, anyECDSA},
	sDSASHA1:              {0x0202, semPre13, dSHA1, noKey},
	sGOSTR341012256:       {0x0840, semPre13, dSTREEBOG256, noKey},
	sGOSTR341012512:       {0x0841, semPre13, dSTREEBOG512, noKey},
	sECDSASHA224:          {0x0000, semNever, dNone, noKey},
	sRSASHA224:            {0x0000, semNever, dNone, noKey},
	sDSASHA224:            {0x0000, semNever, dNone, noKey},
	sDSASHA256:            {0x0000, semNever, dNone, noKey},
	sDSASHA384:            {0x0000, semNever, dNone, noKey},
	sDSASHA512:            {0x0000, semNever, dNone, noKey},
	sRSARMD160:            {0x0000, semNever, dNone, noKey},
	sRSAMD5:               {0x0000, semNever, dNone, noKey},
	sRSAMD2:               {0x0000, semNever, dNone, noKey},
	sRSARAW:               {0x0000, semNever, dNone, noKey},
	sGOSTR341001:          {0x0000, semNever, dNone, noKey},
	sRSASHA3224:           {0x0000, semNever, dNone, noKey},
	sRSASHA3256:           {0x0000, semNever, dNone, noKey},
	sRSASHA3384:           {0x0000, semNever, dNone, noKey},
	sRSASHA3512:           {0x0000, semNever, dNone, noKey},
	sDSASHA3224:           {0x0000, semNever, dNone, noKey},
	sDSASHA3256:           {0x0000, semNever, dNone, noKey},
	sDSASHA3384:           {0x0000, semNever, dNone, noKey},
	sDSASHA3512:           {0x0000, semNever, dNone, noKey},
	sECDSASHA3224:         {0x0000, semNever, dNone, noKey},
	sECDSASHA3256:         {0x0000, semNever, dNone, noKey},
	sECDSASHA3384:         {0x0000, semNever, dNone, noKey},
	sECDSASHA3512:         {0x0000, semNever, dNone, noKey},
	sMLDSA44:              {0x0904, sem13, dNone, noKey},
	sMLDSA65:              {0x0905, sem13, dNone, noKey},
	sMLDSA87:              {0x0906, sem13, dNone, noKey},
}
