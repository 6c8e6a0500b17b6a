package proof

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// An Identity is one identity as its files have it, or as they are about to have it.
type Identity struct {
	Spot layout.Spot
	Role certs.Role
	// CA, Cert and Key are the contents of the files; Key is nil where there is none.
	CA, Cert, Key []byte
}

// Read reads every identity in the spots. A certificate without its key is one all the same.
func Read(spots []layout.Spot) ([]Identity, error) {
	var list []Identity
	for _, s := range spots {
		err := durable.Within(s.Root, func(d *durable.Dir) error {
			for _, role := range []certs.Role{certs.Server, certs.Client} {
				paths := s.Paths(role)
				x := Identity{Spot: s, Role: role}
				for _, f := range []struct {
					name string
					into *[]byte
				}{{paths.CA, &x.CA}, {paths.Cert, &x.Cert}, {paths.Key, &x.Key}} {
					text, _, err := layout.ReadIn(d, f.name)
					if err != nil && !errors.Is(err, fs.ErrNotExist) {
						return &fs.PathError{Op: "reading", Path: s.Shown(f.name), Err: err}
					}
					*f.into = text
				}
				if x.Cert != nil {
					list = append(list, x)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// place names where an identity lies, for messages: the layout's directory as it is called on this machine.
func (x Identity) place() string { return filepath.Dir(x.Spot.Shown(x.Spot.Paths(x.Role).Cert)) }

// family is whom it talks to: libvirt to libvirt, QEMU to QEMU.
func (x Identity) family() string {
	if x.Spot.Kind.ForQEMU() {
		return string(layout.QEMU)
	}
	return "libvirt"
}

// hostsOf gives the names and addresses by which clients may call a server.
func hostsOf(c *certs.Certificate) []string {
	var hosts []string
	if std, err := c.X509(); err == nil {
		hosts = slices.Clone(std.DNSNames)
		for _, ip := range std.IPAddresses {
			hosts = append(hosts, ip.String())
		}
		if len(hosts) == 0 && std.Subject.CommonName != "" {
			hosts = []string{std.Subject.CommonName}
		}
	}
	for i, h := range hosts {
		if len(h) > 1 && h[0] == '*' { // a host that the wildcard is for
			hosts[i] = "host" + h[1:]
		}
	}
	return hosts
}

// end judges an identity as its own side does.
func (p *Prover) end(x Identity) (End, []Failure) {
	paths := x.Spot.Paths(x.Role)
	file := func(name string, text []byte) verify.File {
		f := verify.File{Path: x.Spot.Shown(name), Data: text}
		if text == nil {
			f.Err = fs.ErrNotExist
		}
		return f
	}
	files := verify.Files{Role: x.Role, CA: file(paths.CA, x.CA), Cert: file(paths.Cert, x.Cert), Key: file(paths.Key, x.Key),
		KeyUnknown: x.Key == nil, At: p.at, Memory: p.Memory}
	e := End{Name: x.place(), Family: x.family(), KeyElsewhere: x.Key == nil}
	failure := Failure{Outcome: finding.ClientLocal, Client: e.Name}
	if x.Role == certs.Server {
		failure = Failure{Outcome: finding.DaemonDown, Server: e.Name}
	}
	var failures []Failure
	for i, v := range p.Versions {
		files.Libvirt = v
		loaded := files.Read()
		for _, f := range loaded.Findings {
			if f.Severity == finding.Error {
				failure.Version, failure.Message = v.String(), f.Message
				failures = append(failures, failure)
				break
			}
		}
		if i == 0 {
			e.Credentials = handshake.Credentials{CAs: loaded.CAs, Chain: loaded.Chain, Key: loaded.Key}
		}
	}
	if len(failures) == 0 && len(e.Credentials.Chain) == 0 { // a key that is not here
		chain, err := certs.ImportPEMList(x.Cert, 0)
		if err == nil {
			e.Credentials.Chain = chain
			e.Credentials.CAs, err = certs.ImportPEMList(x.CA, 0)
		}
		if err != nil {
			failure.Message = err.Error()
			failures = append(failures, failure)
		}
	}
	if x.Role == certs.Server && len(e.Credentials.Chain) > 0 {
		if e.Hosts = hostsOf(e.Credentials.Chain[0]); len(e.Hosts) == 0 {
			failure.Message = "the certificate has no name that a client could call the server by"
			failures = append(failures, failure)
		}
	}
	return e, failures
}
