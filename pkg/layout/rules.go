package layout

import "github.com/virt-pki/virt-pki/pkg/finding"

const validator = "libvirt tools/virt-pki-validate.c (10.5.0 and later); docs/kbase/tlscerts.rst"

// The rules about files on disk. libvirt looks at no owner and no mode: what it cannot read it reports as missing or
// unreadable, and what others can read or write it does not notice.
var (
	ruleWritable = finding.Rule{ID: "writable-by-others", Title: "Others than the owner can write a credential file or its directory",
		Severity: finding.Error, Effect: finding.Ignores,
		Text: "Who can write the CA file, or the directory it lies in, decides whom this host trusts; who can write a key's " +
			"directory can exchange the identity. libvirt does not look at modes.",
		Remedy: "chmod go-w FILE",
		Good:   "/etc/pki/CA/cacert.pem with mode 0644", Bad: "/etc/pki/CA/cacert.pem with mode 0666",
		Source: "libvirt looks at no mode (virNetTLSContextLoadCredentials)"}
	ruleKeyReadable = finding.Rule{ID: "key-readable-by-others", Title: "Others than the owner can read a private key",
		Severity: finding.Error, Effect: finding.Ignores,
		Text: "Who can read the server's key can pretend to be this server to every client. libvirt does not look at modes. The " +
			"system's client key is the exception: libvirt documents it with mode 0644, so that every local user can connect.",
		Remedy: "chmod 0600 FILE, and renew the certificate if someone may have read the key",
		Good:   "serverkey.pem with mode 0600", Bad: "serverkey.pem with mode 0644", Source: validator}
	ruleClosedDirectory = finding.Rule{ID: "directory-closed", Title: "Only root can look into a system directory",
		Severity: finding.Warning, Effect: finding.Ignores,
		Text: "An ordinary user who connects takes CA, certificate and key from /etc/pki. Where a directory on the way is closed, " +
			"libvirt says that the CA file does not exist, and a certificate is silently not sent.",
		LibvirtMessages: []string{"Cannot read CA certificate '{path}': Permission denied", "CA certificate '{path}' does not exist: Permission denied"},
		Remedy:          "chmod 0755 DIRECTORY",
		Good:            "/etc/pki/libvirt with mode 0755", Bad: "/etc/pki/libvirt with mode 0700", Source: validator}
	ruleClosedFile = finding.Rule{ID: "certificate-closed", Title: "Only root can read a system certificate",
		Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "Certificates are public. An ordinary user who connects must read the CA's and the client's.",
		Remedy: "chmod 0644 FILE",
		Good:   "/etc/pki/libvirt/clientcert.pem with mode 0644", Bad: "/etc/pki/libvirt/clientcert.pem with mode 0600", Source: validator}
	ruleValidatorMode = finding.Rule{ID: "validator-mode", Title: "The mode or group is not the one virt-pki-validate demands",
		Severity: finding.Note, Effect: finding.NoEffect,
		Text: "libvirt's own validator compares owner, group and mode exactly and fails on stricter ones too. libvirt itself does not mind. A " +
			"client key of mode 0600 is a good choice where only root connects.",
		Remedy: "chmod to the mode named, if virt-pki-validate is to pass",
		Good:   "clientkey.pem with mode 0644 in /etc/pki/libvirt/private", Bad: "clientkey.pem with mode 0600 there", Source: validator}
	ruleOwner = finding.Rule{ID: "wrong-owner", Title: "A credential file belongs to another user",
		Severity: finding.Warning, Effect: finding.Ignores,
		Text:   "The owner of a file can change it whatever its mode. Files of the system belong to root, a user's to that user.",
		Remedy: "chown OWNER FILE",
		Good:   "/etc/pki/CA/cacert.pem of user 0", Bad: "/etc/pki/CA/cacert.pem of user 1000", Source: validator}
	ruleLink = finding.Rule{ID: "credential-is-link", Title: "A credential file is a symbolic link",
		Severity: finding.Note, Effect: finding.NoEffect,
		Text: "libvirt follows the link. Owner and mode that count are those of its target and of every directory on the way, " +
			"which are not judged here. virt-pki refuses to write through it.",
		Remedy: "put the file itself there",
		Good:   "cacert.pem as a file", Bad: "cacert.pem as a link to ../ca.pem", Source: "symlink(7)"}
	ruleKindOfFile = finding.Rule{ID: "not-a-file", Title: "Something other than a file lies in a credential's place",
		Severity: finding.Error, Effect: finding.RefusesToStart,
		Text:            "libvirt finds that the name exists and then cannot read it.",
		LibvirtMessages: []string{"Failed to read file '{path}': Is a directory"},
		Remedy:          "move it away and issue the file anew",
		Good:            "servercert.pem as a file", Bad: "servercert.pem as a directory", Source: "libvirt virFileReadAll"}
	ruleQEMUKey = finding.Rule{ID: "qemu-key-unreadable", Title: "QEMU cannot read its private key",
		Severity: finding.Warning, Effect: finding.RefusesToStart,
		Text: "QEMU reads its TLS files itself, as the user it runs as (libvirt-qemu on Debian, qemu on Fedora). With a key that only " +
			"root can read, guests with TLS do not start and migrations fail; nothing tells earlier.",
		LibvirtMessages: []string{"Unable to access credentials {path}server-key.pem: Permission denied",
			"Cannot load certificate '{cert}' & key '{key}': Error while reading file."},
		Remedy: "chgrp kvm FILE; chmod 0640 FILE",
		Good:   "server-key.pem root:kvm 0640", Bad: "server-key.pem root:root 0600", Source: "QEMU crypto/tlscredsx509.c"}
	ruleDocumentedPlace = finding.Rule{ID: "documented-place-not-read", Title: "A CA file lies where libvirt's documentation says, and libvirt does not look",
		Severity: finding.Warning, Effect: finding.Ignores,
		Text: "libvirt's page on TLS certificates lists $HOME/.pki/cacert.pem. The code only looks for " +
			"$HOME/.pki/libvirt/cacert.pem and then for the system's.",
		Remedy: "mv ~/.pki/cacert.pem ~/.pki/libvirt/cacert.pem",
		Good:   "~/.pki/libvirt/cacert.pem", Bad: "~/.pki/cacert.pem", Source: "libvirt virNetTLSContextLocateCredentials"}
	ruleLabel = finding.Rule{ID: "selinux-label", Title: "A credential file has another SELinux label than the policy's",
		Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "Where SELinux is on, the daemons and QEMU are confined and may read files by their labels. Which type a path has, the policy's file_contexts says: " +
			"cert_t for /etc/pki in Fedora's, tls_privkey_t for the private directories in the reference policy. A file that was moved there with mv keeps the label of " +
			"where it came from, such as admin_home_t, and the daemon may be denied what root may read; libvirt neither labels these files nor looks. What the policy " +
			"allows is not judged. Where the policy is not at hand, another type than cert_t is a note.",
		LibvirtMessages: []string{"Cannot read certificate '{path}': Permission denied", "Cannot read private key '{path}': Permission denied"},
		Remedy:          "restorecon -Rv /etc/pki; ausearch -m avc -ts recent shows what was denied",
		Good:            "serverkey.pem with the type that matchpathcon prints", Bad: "serverkey.pem with admin_home_t, moved from /root",
		Source: "selabel_file(5), matchpathcon(8), restorecon(8)"}
)

// Rules gives the rules of this package.
func Rules() []finding.Rule {
	return []finding.Rule{ruleWritable, ruleKeyReadable, ruleClosedDirectory, ruleClosedFile, ruleValidatorMode, ruleOwner,
		ruleLink, ruleKindOfFile, ruleQEMUKey, ruleDocumentedPlace, ruleLabel}
}
