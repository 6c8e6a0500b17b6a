package preflight

import (
	"testing"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

func TestTheTLSPriorityIsThatOfTheURIThenOfTheConfigurationThenOfTheBuild(t *testing.T) {
	system := priority.ParseSystem([]byte("SYSTEM=NORMAL:-VERS-TLS1.3:-VERS-TLS1.2\n"))
	for _, c := range []struct {
		name                    string
		uri, libvirtConf, build string // of the client
		daemonConf, daemonBuild string
		system                  *priority.System
		outcome                 finding.Outcome
		tls                     string
	}{
		{"nobody says anything", "", "", "", "", "", nil, finding.Connected, "TLS1.3"},
		{"the build", "", "", "NORMAL:-VERS-TLS1.3", "", "", nil, finding.Connected, "TLS1.2"},
		{"libvirt.conf over the build", "", `tls_priority = "NORMAL:-VERS-TLS1.3"`, "NORMAL:-VERS-TLS1.3:-VERS-TLS1.2", "", "", nil, finding.Connected, "TLS1.2"},
		{"the URI over libvirt.conf", "&tls_priority=NORMAL", `tls_priority = "NORMAL:+NOSUCH"`, "", "", "", nil, finding.Connected, "TLS1.3"},
		{"the daemon's build", "", "", "", "", "NORMAL:-VERS-TLS1.3", nil, finding.Connected, "TLS1.2"},
		{"the daemon's configuration over its build", "", "", "", `tls_priority = "NORMAL"`, "NORMAL:-VERS-TLS1.3", nil, finding.Connected, "TLS1.3"},
		{"a build of Fedora with crypto-policies", "", "", "@LIBVIRT,SYSTEM", "", "@LIBVIRT,SYSTEM", system, finding.Connected, "TLS1.1"},
		{"a build of Fedora without them", "", "", "@LIBVIRT,SYSTEM", "", "", nil, finding.ClientLocal, ""},
		{"the daemon's alone", "", "", "", "", "@LIBVIRT,SYSTEM", nil, finding.HandshakeFails, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.conf = c.daemonConf
			if c.libvirtConf != "" {
				w.files["/etc/libvirt/libvirt.conf"] = []byte(c.libvirtConf + "\n")
			}
			m := w.machine()
			m.BuildPriority, m.GnuTLS.System = c.daemonBuild, c.system
			got := w.connect(t, w.startOn(t, m), "test+tls://kvm1/default?no_tty=1"+c.uri, func(client *Client) {
				client.BuildPriority, client.GnuTLS.System = c.build, c.system
			})
			if got.Outcome != c.outcome || got.TLS != c.tls {
				t.Errorf("%s %q (%s), want %s %q", got.Outcome, got.TLS, got.LibvirtMessage, c.outcome, c.tls)
			}
		})
	}
}
