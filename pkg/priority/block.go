package priority

// isBlock marks what GnuTLS counts as block ciphers: CBC, but also CFB8 and XTS.
var isBlock = [cAES256CFB + 1]bool{
	cAES256CBC: true, cAES192CBC: true, cAES128CBC: true, cCAMELLIA256CBC: true, cCAMELLIA192CBC: true,
	cCAMELLIA128CBC: true, c3DESCBC: true, cDESCBC: true, cRC240: true,
	cAES128CFB8: true, cAES192CFB8: true, cAES256CFB8: true, cAES128XTS: true, cAES256XTS: true, cAES128CFB: true, cAES192CFB: true, cAES256CFB: true,
}
