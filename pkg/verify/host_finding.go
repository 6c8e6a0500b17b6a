package verify

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// HostMismatch gives the finding about a server's certificate that is not for a host; subject is the certificate's file or
// name, m what Host said.
func HostMismatch(subject, host string, m HostMatch) finding.Finding {
	f := rule("host-mismatch").Finding(subject, sentence(fmt.Sprintf("the certificate is not for the host %q: %s", host, m.Reason)))
	f.Evidence = map[string]string{"host": host}
	f.LibvirtMessage = fmt.Sprintf("Certificate [session] owner does not match the hostname %s", host)
	return f
}
