package priority

// isBlock marks the block ciphers in CBC mode: only they make a client offer encrypt-then-MAC.
var isBlock = [cAES256CFB + 1]bool{
	cAES256CBC: true, cAES192CBC: true, cAES128CBC: true, cCAMELLIA256CBC: true, cCAMELLIA192CBC: true,
	cCAMELLIA128CBC: true, c3DESCBC: true, cDESCBC: true,
}
