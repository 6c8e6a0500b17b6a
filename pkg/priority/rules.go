package priority

import "github.com/virt-pki/virt-pki/pkg/finding"

// The rules of this package.
var (
	ruleInvalid = finding.Rule{
		ID: "priority-invalid", Title: "The priority string is one that GnuTLS accepts", Severity: finding.Error,
		Effect: finding.RefusesPeer,
		Text: "libvirt hands tls_priority to GnuTLS for each connection and not before. A daemon with a string that GnuTLS refuses " +
			"starts well and then drops every client; a client fails at once.",
		LibvirtMessages: []string{"Failed to set TLS session priority to {priority}: The request is invalid."},
		Remedy:          "virt-pki priority 'STRING' shows the element at fault",
		Good:            "NORMAL:-VERS-TLS1.0", Bad: "NORMAL:-VERS-TLS10",
		Source: "libvirt src/rpc/virnettlscontext.c, virNetTLSSessionNew; GnuTLS lib/priority.c, gnutls_priority_init2",
	}
	rulePostQuantum = finding.Rule{
		ID: "priority-post-quantum-names", Title: "Post-quantum names are named only where GnuTLS knows them",
		Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "libvirt's page on TLS certificates shows a priority string that switches post-quantum algorithms off. GnuTLS refuses a " +
			"name it does not know after a minus sign too, so that string breaks every connection with a GnuTLS that is older than 3.8.8 " +
			"or built without ML-KEM, as all of Debian's are.",
		LibvirtMessages: []string{"Failed to set TLS session priority to {priority}: The request is invalid."},
		Remedy:          "take the SIGN-ML-DSA-* and GROUP-*-MLKEM* elements out",
		Good:            "NORMAL", Bad: "NORMAL:-GROUP-X25519-MLKEM768",
		Source: "libvirt docs/kbase/tlscerts.rst; GnuTLS NEWS 3.8.8 and 3.8.10",
	}
	ruleSystem = finding.Rule{
		ID: "priority-system-keyword", Title: "An @KEYWORD is defined in the system file", Severity: finding.Error,
		Effect: finding.RefusesPeer,
		Text: "A string that begins with @ is looked up in GnuTLS's system file. @SYSTEM and @LIBVIRT,SYSTEM are the rule on Fedora and " +
			"RHEL, where crypto-policies writes that file; Debian and Ubuntu have none, and there the string is refused.",
		LibvirtMessages: []string{"Failed to set TLS session priority to {priority}: The request is invalid."},
		Remedy:          "use NORMAL in place of the @KEYWORD",
		Good:            "NORMAL", Bad: "@LIBVIRT,SYSTEM on Debian",
		Source: "GnuTLS lib/priority.c, _gnutls_resolve_priorities",
	}
	ruleInsufficient = finding.Rule{
		ID: "priority-insufficient", Title: "The priority string leaves something to negotiate", Severity: finding.Error,
		Effect: finding.RefusesPeer,
		Text: "After all elements there must be a protocol version, a cipher suite and, for TLS 1.2 and 1.3, a signature algorithm. " +
			"A string with DTLS versions only is accepted and then fails with the first handshake.",
		LibvirtMessages: []string{"Failed to set TLS session priority to {priority}: No or insufficient priorities were set."},
		Remedy:          "begin the string with a keyword such as NORMAL or SECURE128",
		Good:            "NORMAL:-VERS-ALL:+VERS-TLS1.3", Bad: "%COMPAT",
		Source: "GnuTLS lib/priority.c, set_ciphersuite_list and gnutls_priority_set",
	}
	ruleOldTLS = finding.Rule{
		ID: "priority-old-tls", Title: "TLS 1.0 and TLS 1.1 are switched off", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "TLS 1.0 and 1.1 are deprecated by RFC 8996. GnuTLS's NORMAL, libvirt's build default, still has both; every libvirt of " +
			"today speaks TLS 1.3.",
		Remedy: "append :-VERS-TLS1.0:-VERS-TLS1.1 to tls_priority",
		Good:   "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1", Bad: "NORMAL", Source: "RFC 8996",
	}
	ruleSHA1 = finding.Rule{
		ID: "priority-sha1-signatures", Title: "No SHA-1 signatures are accepted in the handshake", Severity: finding.Note,
		Effect: finding.NoEffect,
		Text:   "RFC 9155 deprecates SHA-1 and MD5 signatures in TLS 1.2. GnuTLS's NORMAL has RSA-SHA1 and ECDSA-SHA1 at the end of its list.",
		Remedy: "append :-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1 to tls_priority",
		Good:   "SECURE128", Bad: "NORMAL", Source: "RFC 9155",
	}
	ruleRSA = finding.Rule{
		ID: "priority-rsa-key-exchange", Title: "Every key exchange has forward secrecy", Severity: finding.Note, Effect: finding.NoEffect,
		Text: "With RSA key exchange (TLS 1.2 and older) whoever gets the server's key later can read what was recorded before. GnuTLS " +
			"tries the others first, so two libvirts never use it unless told to.",
		Remedy: "append :-RSA to tls_priority, or use PFS",
		Good:   "PFS", Bad: "NORMAL", Source: "RFC 9325, section 4.1",
	}
	ruleCBC = finding.Rule{
		ID: "priority-cbc", Title: "Only authenticated ciphers are used", Severity: finding.Note, Effect: finding.NoEffect,
		Text:   "CBC suites (TLS 1.2 and older) have a history of padding oracles. GnuTLS tries authenticated ciphers first.",
		Remedy: "append :-AES-256-CBC:-AES-128-CBC to tls_priority, or allow only TLS 1.3",
		Good:   "NORMAL:-VERS-ALL:+VERS-TLS1.3", Bad: "NORMAL", Source: "RFC 9325, section 4.2",
	}
	ruleWeakCipher = finding.Rule{
		ID: "priority-weak-cipher", Title: "No broken cipher is enabled", Severity: finding.Error, Effect: finding.NoEffect,
		Text:   "NULL does not encrypt, RC4 (ARCFOUR-128) and 3DES are broken or worn out. None is in a keyword: someone added it by name.",
		Remedy: "take the +CIPHER element out",
		Good:   "NORMAL", Bad: "NORMAL:+ARCFOUR-128", Source: "RFC 7465; RFC 9325, section 4.1",
	}
	ruleRefusesKey = finding.Rule{
		ID: "priority-profile-refuses-key", Title: "The verification profile accepts the certificates in use", Severity: finding.Error,
		Effect: finding.RefusesPeer,
		Text: "A priority string also sets how strong the peer's certificates must be. SECURE192 and SECURE256 are the same thing and ask " +
			"for RSA of 3072 bits: with the usual RSA-2048 certificates every peer is refused after a handshake that succeeded.",
		LibvirtMessages: []string{"Certificate failed validation: The certificate uses an insecure algorithm."},
		Remedy:          "append :%PROFILE_LOW or :%PROFILE_MEDIUM to tls_priority, or issue stronger certificates",
		Good:            "SECURE256:%PROFILE_MEDIUM with RSA-2048", Bad: "SECURE256 with RSA-2048",
		Source: "GnuTLS lib/priority.c, verification profiles; lib/x509/verify.c, is_level_acceptable",
	}
	ruleWeakProfile = finding.Rule{
		ID: "priority-weak-profile", Title: "The verification profile refuses weak keys", Severity: finding.Note, Effect: finding.NoEffect,
		Text:   "Below MEDIUM the profile accepts RSA keys of less than 2048 bits: LOW, which NORMAL has, 1024; LEGACY as a keyword sets none.",
		Remedy: "append :%PROFILE_MEDIUM to tls_priority",
		Good:   "NORMAL:%PROFILE_MEDIUM", Bad: "NORMAL", Source: "GnuTLS lib/algorithms/secparams.c",
	}
	ruleVerify = finding.Rule{
		ID: "priority-verification-weakened", Title: "No option weakens the verification of certificates", Severity: finding.Error,
		Effect: finding.NoEffect,
		Text: "%VERIFY_DISABLE_CRL_CHECKS makes revocation void, %VERIFY_ALLOW_BROKEN and %VERIFY_ALLOW_SIGN_* accept forged " +
			"signatures, %COMPAT and %DEBUG_ALLOW_KEY_USAGE_VIOLATIONS overlook a wrong keyUsage.",
		Remedy: "take the option out",
		Good:   "NORMAL", Bad: "NORMAL:%VERIFY_DISABLE_CRL_CHECKS", Source: "GnuTLS manual, priority strings, special keywords",
	}
	ruleIgnored = finding.Rule{
		ID: "priority-element-ignored", Title: "Every element of the string has an effect", Severity: finding.Warning,
		Effect: finding.Ignores,
		Text: "GnuTLS accepts some elements and does nothing about them: an unknown name after MAC-, CIPHER- or KX-, anything after COMP-, " +
			"obsolete options, and everything after the 128th element.",
		Remedy: "take the element out, or write +NAME without the prefix",
		Good:   "NORMAL:+SHA256", Bad: "NORMAL:+MAC-SHA256", Source: "GnuTLS lib/priority.c, gnutls_priority_init2",
	}
)

// Rules gives the rules of this package.
func Rules() []finding.Rule {
	return []finding.Rule{ruleInvalid, rulePostQuantum, ruleSystem, ruleInsufficient, ruleOldTLS, ruleSHA1, ruleRSA, ruleCBC,
		ruleWeakCipher, ruleRefusesKey, ruleWeakProfile, ruleVerify, ruleIgnored}
}
