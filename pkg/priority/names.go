package priority

// The ciphers, in the order of GnuTLS's table (lib/algorithms/ciphers.c).
const (
	cNone uint8 = iota
	cAES256CBC
	cAES192CBC
	cAES128CBC
	cAES128GCM
	cAES192GCM
	cAES256GCM
	cAES128CCM
	cAES256CCM
	cAES128CCM8
	cAES256CCM8
	cARCFOUR128
	cESTREAMSALSA20256
	cSALSA20256
	cCHACHA2032
	cCHACHA2064
	cCAMELLIA256CBC
	cCAMELLIA192CBC
	cCAMELLIA128CBC
	cCHACHA20POLY1305
	cCAMELLIA128GCM
	cCAMELLIA256GCM
	cGOST28147TC26ZCFB
	cGOST28147CPACFB
	cGOST28147CPBCFB
	cGOST28147CPCCFB
	cGOST28147CPDCFB
	cAES128CFB8
	cAES192CFB8
	cAES256CFB8
	cAES128XTS
	cAES256XTS
	cAES128SIV
	cAES256SIV
	cGOST28147TC26ZCNT
	cMAGMACTRACPKM
	cKUZNYECHIKCTRACPKM
	c3DESCBC
	cDESCBC
	cRC240
	cNULL
	cAES128SIVGCM
	cAES256SIVGCM
	cAES128CFB
	cAES192CFB
	cAES256CFB
)

// cipherTable holds the names of ciphers. Most have no cipher suite and change nothing but the printed list.
var cipherTable = newTable([]entry{
	cAES256CBC:          {name: "AES-256-CBC"},
	cAES192CBC:          {name: "AES-192-CBC"},
	cAES128CBC:          {name: "AES-128-CBC"},
	cAES128GCM:          {name: "AES-128-GCM"},
	cAES192GCM:          {name: "AES-192-GCM"},
	cAES256GCM:          {name: "AES-256-GCM"},
	cAES128CCM:          {name: "AES-128-CCM"},
	cAES256CCM:          {name: "AES-256-CCM"},
	cAES128CCM8:         {name: "AES-128-CCM-8"},
	cAES256CCM8:         {name: "AES-256-CCM-8"},
	cARCFOUR128:         {name: "ARCFOUR-128"},
	cESTREAMSALSA20256:  {name: "ESTREAM-SALSA20-256"},
	cSALSA20256:         {name: "SALSA20-256"},
	cCHACHA2032:         {name: "CHACHA20-32"},
	cCHACHA2064:         {name: "CHACHA20-64"},
	cCAMELLIA256CBC:     {name: "CAMELLIA-256-CBC"},
	cCAMELLIA192CBC:     {name: "CAMELLIA-192-CBC"},
	cCAMELLIA128CBC:     {name: "CAMELLIA-128-CBC"},
	cCHACHA20POLY1305:   {name: "CHACHA20-POLY1305"},
	cCAMELLIA128GCM:     {name: "CAMELLIA-128-GCM"},
	cCAMELLIA256GCM:     {name: "CAMELLIA-256-GCM"},
	cGOST28147TC26ZCFB:  {name: "GOST28147-TC26Z-CFB"},
	cGOST28147CPACFB:    {name: "GOST28147-CPA-CFB"},
	cGOST28147CPBCFB:    {name: "GOST28147-CPB-CFB"},
	cGOST28147CPCCFB:    {name: "GOST28147-CPC-CFB"},
	cGOST28147CPDCFB:    {name: "GOST28147-CPD-CFB"},
	cAES128CFB8:         {name: "AES-128-CFB8"},
	cAES192CFB8:         {name: "AES-192-CFB8"},
	cAES256CFB8:         {name: "AES-256-CFB8"},
	cAES128XTS:          {name: "AES-128-XTS"},
	cAES256XTS:          {name: "AES-256-XTS"},
	cAES128SIV:          {name: "AES-128-SIV"},
	cAES256SIV:          {name: "AES-256-SIV"},
	cGOST28147TC26ZCNT:  {name: "GOST28147-TC26Z-CNT"},
	cMAGMACTRACPKM:      {name: "MAGMA-CTR-ACPKM"},
	cKUZNYECHIKCTRACPKM: {name: "KUZNYECHIK-CTR-ACPKM"},
	c3DESCBC:            {name: "3DES-CBC"},
	cDESCBC:             {name: "DES-CBC"},
	cRC240:              {name: "RC2-40"},
	cNULL:               {name: "NULL"},
	cAES128SIVGCM:       {name: "AES-128-SIV-GCM", since: Release{3, 8, 2}},
	cAES256SIVGCM:       {name: "AES-256-SIV-GCM", since: Release{3, 8, 2}},
	cAES128CFB:          {name: "AES-128-CFB", since: Release{3, 8, 11}},
	cAES192CFB:          {name: "AES-192-CFB", since: Release{3, 8, 11}},
	cAES256CFB:          {name: "AES-256-CFB", since: Release{3, 8, 11}},
})

// The MACs that GnuTLS accepts by name.
const (
	mNone uint8 = iota
	mSHA1
	mSHA256
	mSHA384
	mSHA512
	mSHA224
	mUMAC96
	mUMAC128
	mAEAD
	mMD5
	mGOSTR341194
	mSTREEBOG256
	mSTREEBOG512
	mAESCMAC128
	mAESCMAC256
	mAESGMAC128
	mAESGMAC192
	mAESGMAC256
	mGOST28147TC26ZIMIT
	mOMACMAGMA
	mOMACKUZNYECHIK
	mPBMAC1
)

// macTable holds the names of MACs. PBMAC1 is a placeholder of PKCS #12 without a cipher suite.
var macTable = newTable([]entry{
	mSHA1:               {name: "SHA1"},
	mSHA256:             {name: "SHA256"},
	mSHA384:             {name: "SHA384"},
	mSHA512:             {name: "SHA512"},
	mSHA224:             {name: "SHA224"},
	mUMAC96:             {name: "UMAC-96"},
	mUMAC128:            {name: "UMAC-128"},
	mAEAD:               {name: "AEAD"},
	mMD5:                {name: "MD5"},
	mGOSTR341194:        {name: "GOSTR341194"},
	mSTREEBOG256:        {name: "STREEBOG-256"},
	mSTREEBOG512:        {name: "STREEBOG-512"},
	mAESCMAC128:         {name: "AES-CMAC-128"},
	mAESCMAC256:         {name: "AES-CMAC-256"},
	mAESGMAC128:         {name: "AES-GMAC-128"},
	mAESGMAC192:         {name: "AES-GMAC-192"},
	mAESGMAC256:         {name: "AES-GMAC-256"},
	mGOST28147TC26ZIMIT: {name: "GOST28147-TC26Z-IMIT"},
	mOMACMAGMA:          {name: "OMAC-MAGMA"},
	mOMACKUZNYECHIK:     {name: "OMAC-KUZNYECHIK"},
	mPBMAC1:             {name: "PBMAC1", since: Release{3, 8, 6}},
})

// The key exchanges. kxNone stands for TLS 1.3, where the suite does not say.
const (
	kxNone uint8 = iota
	kxECDHERSA
	kxECDHEECDSA
	kxRSA
	kxDHERSA
	kxDHEDSS
	kxPSK
	kxRSAPSK
	kxDHEPSK
	kxECDHEPSK
	kxSRPDSS
	kxSRPRSA
	kxSRP
	kxANONDH
	kxANONECDH
	kxVKOGOST12
)

// kxTable holds the names of key exchanges. SRP is no longer built in by default from 3.8.0 on.
var kxTable = newTable([]entry{
	kxECDHERSA:   {name: "ECDHE-RSA"},
	kxECDHEECDSA: {name: "ECDHE-ECDSA"},
	kxRSA:        {name: "RSA"},
	kxDHERSA:     {name: "DHE-RSA"},
	kxDHEDSS:     {name: "DHE-DSS"},
	kxPSK:        {name: "PSK"},
	kxRSAPSK:     {name: "RSA-PSK"},
	kxDHEPSK:     {name: "DHE-PSK"},
	kxECDHEPSK:   {name: "ECDHE-PSK"},
	kxSRPDSS:     {name: "SRP-DSS", until: Release{3, 8, 0}},
	kxSRPRSA:     {name: "SRP-RSA", until: Release{3, 8, 0}},
	kxSRP:        {name: "SRP", until: Release{3, 8, 0}},
	kxANONDH:     {name: "ANON-DH"},
	kxANONECDH:   {name: "ANON-ECDH"},
	kxVKOGOST12:  {name: "VKO-GOST-12"},
})

// The digests, for the overrides of the system file and the pseudo-random functions of suites.
const (
	dNone uint8 = iota
	dMD5
	dSHA1
	dSHA224
	dSHA256
	dSHA384
	dSHA512
	dSHA3224
	dSHA3256
	dSHA3384
	dSHA3512
	dMD5SHA1
	dMD2
	dRIPEMD160
	dGOSTR341194
	dSTREEBOG256
	dSTREEBOG512
	dSHAKE128
	dSHAKE256
)

// digestTable holds the names of digests.
var digestTable = newTable([]entry{
	dMD5:         {name: "MD5"},
	dSHA1:        {name: "SHA1"},
	dSHA224:      {name: "SHA224"},
	dSHA256:      {name: "SHA256"},
	dSHA384:      {name: "SHA384"},
	dSHA512:      {name: "SHA512"},
	dSHA3224:     {name: "SHA3-224"},
	dSHA3256:     {name: "SHA3-256"},
	dSHA3384:     {name: "SHA3-384"},
	dSHA3512:     {name: "SHA3-512"},
	dMD5SHA1:     {name: "MD5+SHA1"},
	dMD2:         {name: "MD2"},
	dRIPEMD160:   {name: "RIPEMD160"},
	dGOSTR341194: {name: "GOSTR341194"},
	dSTREEBOG256: {name: "STREEBOG-256"},
	dSTREEBOG512: {name: "STREEBOG-512"},
	dSHAKE128:    {name: "SHAKE-128"},
	dSHAKE256:    {name: "SHAKE-256"},
})
