package uri

import (
	"errors"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// An Item is the JSON form of one URI, as the command "virt-pki uri --json" gives it.
type Item struct {
	URI string `json:"uri"`
	// Error is libvirt's message where it refuses the URI; all else but the findings is empty then.
	Error     *string   `json:"error"`
	Driver    string    `json:"driver"`
	Transport Transport `json:"transport"`
	User      *string   `json:"user"`
	// Host and Port are those that are used, null where there are none (the ssh binary chooses its own port).
	Host   *string `json:"host"`
	Port   *int    `json:"port"`
	Path   string  `json:"path"`
	Params []Param `json:"params"`
	// RemoteName is what the daemon is asked to open; empty: it chooses.
	RemoteName string `json:"remote_name"`
	// AliasOf is the URI that the text is an alias of.
	AliasOf *string   `json:"alias_of"`
	Files   ItemFiles `json:"files"`
	// Socket is the UNIX socket, for ssh, libssh and libssh2 that of the far side.
	Socket *string `json:"socket"`
	// Argv is the command that ssh and ext run.
	Argv     []string          `json:"argv"`
	Findings []finding.Finding `json:"findings"`
}

// ItemFiles are the credential files of an Item; null without TLS.
type ItemFiles struct {
	CA   *string `json:"ca"`
	CRL  *string `json:"crl"`
	Cert *string `json:"cert"`
	Key  *string `json:"key"`
}

// NewItem parses text and gives its JSON form, also where libvirt refuses it. exists tells whether a file is there, by
// which files and sockets are chosen; nil: none is.
func NewItem(text string, o Options, exists func(string) bool) Item {
	i := Item{URI: text, Params: []Param{}, Findings: []finding.Finding{}}
	u, err := Parse(text, o)
	var refused *Error
	if errors.As(err, &refused) {
		i.Error = &refused.LibvirtMessage
		i.Findings = append(i.Findings, refused.Finding())
		return i
	}
	i.Driver, i.Transport, i.Path, i.RemoteName = u.Driver(), u.Transport(), u.Path(), u.RemoteName()
	i.Params = append(i.Params, u.Params()...)
	i.Findings = append(i.Findings, u.Findings()...)
	if name, ok := u.User(); ok {
		i.User = &name
	}
	if h := u.Host(); h != "" {
		i.Host = &h
	}
	if p := u.Port(); p != 0 {
		i.Port = &p
	}
	if a, ok := u.AliasOf(); ok {
		i.AliasOf = &a
	}
	if f, ok := u.Files(); ok {
		c := f.Choose(exists)
		i.Files = ItemFiles{&c.CA, &c.CRL, &c.Cert, &c.Key}
	}
	if s, ok := u.Sockets(); ok {
		if u.Transport() != Unix {
			exists = nil // it is on another machine
		}
		p := s.Choose(exists)
		i.Socket = &p
	}
	i.Argv, _ = u.Argv()
	return i
}
