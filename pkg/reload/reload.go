package reload

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Way says how a daemon is brought to read its credentials again.
type Way string

// The ways.
const (
	// UpdateTLS is virt-admin server-update-tls, from libvirt 6.2 on: connections stay.
	UpdateTLS Way = "server-update-tls"
	// Restart ends the daemon and starts it again: guests go on, connections do not.
	Restart Way = "restart"
)

// A Plan says how a daemon is to be reloaded, and with what.
type Plan struct {
	Way Way
	// Why says what decides.
	Why string
	// Command does it, word for word.
	Command []string
	// Certs are the files of which one must be served afterwards, CRL the list that will be loaded: empty where none is.
	Certs []string
	CRL   string
	// Defaults is where server-update-tls would look: never in what the configuration names (virNetServerUpdateTlsFiles).
	Defaults layout.Paths
	// Notes say what a reload does not do.
	Notes []string
}

// Decide tells from a daemon's configuration how it takes up new credentials. admin is the URI for virt-admin, empty for
// the usual one; places are where libvirt looks by default, the first first: the user's for a session daemon, then the system's.
// exists reports whether there is a file.
func Decide(d *conf.Daemon, admin string, places []layout.Place, exists func(path string) bool) (Plan, error) {
	files, err := d.TLSFiles()
	if err != nil {
		return Plan{}, err
	}
	r := Plan{Defaults: defaultPaths(places, exists)}
	if !d.ListenTLS {
		r.Notes = append(r.Notes, "listen_tls is 0: the daemon serves TLS only where systemd passes it the -tls.socket")
	}
	name, unit := "libvirtd", "libvirtd.service"
	if d.Kind == conf.Virtproxyd {
		name, unit = "virtproxyd", "virtproxyd.service"
	}
	if admin == "" {
		admin = name + ":///system"
		if d.Run.Session {
			admin = name + ":///session"
		}
	}
	if files.Default {
		r.Way, r.Why = UpdateTLS, "the credentials are in the default places"
		r.Command = []string{"virt-admin", "-c", admin, "server-update-tls", name}
		r.Certs = []string{r.Defaults.Cert}
		for i := range 4 { // further identities, from 11.10 on
			if more := indexed(r.Defaults.Cert, i); exists(more) {
				r.Certs = append(r.Certs, more)
			}
		}
		if exists(r.Defaults.CRL) {
			r.CRL = r.Defaults.CRL
		}
		if d.TLSNoSanityCertificate {
			r.Notes = append(r.Notes, "the daemon checks its certificates on this reload, whatever tls_no_sanity_certificate says")
		}
		if d.CRLFile != nil {
			r.Notes = append(r.Notes, fmt.Sprintf("crl_file = %q is not read without ca_file, cert_file and key_file: the list is %s", *d.CRLFile, r.Defaults.CRL))
		}
		return r, nil
	}
	r.Way, r.Why = Restart, "the configuration names other files than the default ones, and server-update-tls reads those only"
	r.Certs, r.CRL = files.Certs, files.CRL
	r.Command = []string{"systemctl", "restart", unit}
	if d.Run.Session {
		r.Command = nil // nobody but its user knows how it is started
	}
	return r, nil
}

// defaultPaths gives what is looked for by default (virNetTLSContextLocateCredentials): the CA and the list each on its own,
// certificate and key as a pair.
func defaultPaths(places []layout.Place, exists func(string) bool) layout.Paths {
	last := places[len(places)-1].Paths(certs.Server)
	for i := len(places) - 2; i >= 0; i-- {
		p := places[i].Paths(certs.Server)
		if exists(p.CA) {
			last.CA = p.CA
		}
		if exists(p.CRL) {
			last.CRL = p.CRL
		}
		if exists(p.Cert) && exists(p.Key) {
			last.Cert, last.Key = p.Cert, p.Key
		}
	}
	return last
}

// indexed gives the name of a further identity: servercert.pem, servercert0.pem.
func indexed(name string, i int) string {
	return fmt.Sprintf("%s%d.pem", name[:len(name)-len(".pem")], i)
}
