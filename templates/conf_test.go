package templates_test

import (
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/templates"
)

func TestConfigurationFilesHaveNoFindings(t *testing.T) {
	names := []string{"C=GB,O=Acme,CN=admin", `C=GB,O=Acme\, Inc,CN=backup`}
	full := templates.Daemon{Listen: true, Addr: "192.0.2.7", Port: "16600", DNs: names, Priority: "NORMAL:-VERS-TLS1.0",
		AuthTLS: "sasl", Group: "libvirt"}
	for _, c := range []struct {
		name   string
		make   func() ([]byte, error)
		kind   conf.Kind
		listen bool
		want   map[string]string // settings as the program sees them
	}{
		{"libvirtd without choices", templates.Daemon{}.Libvirtd, conf.Libvirtd, false, map[string]string{}},
		{"libvirtd with all", full.Libvirtd, conf.Libvirtd, true, map[string]string{"listen_tls": "1", "tls_port": `"16600"`,
			"listen_addr": `"192.0.2.7"`, "auth_tls": `"sasl"`, "auth_unix_rw": `"none"`, "unix_sock_rw_perms": `"0770"`,
			"unix_sock_group": `"libvirt"`, "tls_priority": `"NORMAL:-VERS-TLS1.0"`,
			"tls_allowed_dn_list": "[\n  \"C=GB,O=Acme,CN=admin\",\n  \"C=GB,O=Acme\\, Inc,CN=backup\"\n]"}},
		{"virtproxyd without choices", templates.Daemon{}.Virtproxyd, conf.Virtproxyd, false, map[string]string{}},
		{"virtproxyd with one name", templates.Daemon{Listen: true, DNs: names[:1]}.Virtproxyd, conf.Virtproxyd, false,
			map[string]string{"listen_tls": "1", "tls_allowed_dn_list": "[\n  \"C=GB,O=Acme,CN=admin\"\n]"}},
		{"libvirt without choices", templates.Client{}.Libvirt, conf.Client, false, map[string]string{}},
		{"libvirt with all", templates.Client{URI: "a", Aliases: []templates.Alias{{"a", "test:///default"}, {"b", "qemu+tls://b/system"}},
			Priority: "SECURE128"}.Libvirt, conf.Client, false, map[string]string{"uri_default": `"a"`, "tls_priority": `"SECURE128"`,
			"uri_aliases": "[\n  \"a=test:///default\",\n  \"b=qemu+tls://b/system\"\n]"}},
		{"qemu without choices", templates.QEMU{}.Conf, conf.QEMU, false, map[string]string{"default_tls_x509_verify": "1"}},
		{"qemu with all", templates.QEMU{Dir: "/d", VNC: true, SPICE: true, Chardev: true, NBD: true, ForceMigration: true}.Conf, conf.QEMU,
			false, map[string]string{"default_tls_x509_verify": "1", "default_tls_x509_cert_dir": `"/d"`, "vnc_tls": "1", "spice_tls": "1",
				"chardev_tls": "1", "nbd_tls": "1", "migrate_tls_force": "1"}},
	} {
		b, err := c.make()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, r := range []conf.Release{conf.Release9_0, conf.Release12_8} {
			o := conf.LintOptions{Kind: c.kind, Run: conf.Run{Libvirt: r, Listen: c.listen}}
			f, findings := conf.Check(b, "F", o)
			if len(findings) > 0 || f == nil {
				t.Errorf("%s: %+v\n%s", c.name, findings, b)
				continue
			}
			got := map[string]string{}
			for _, e := range f.Effective(c.kind, o.Run) {
				if e.Origin.File != "" {
					got[e.Key] = e.Value
				}
			}
			for k, v := range c.want {
				if got[k] != v {
					t.Errorf("%s: %s is %s, want %s", c.name, k, got[k], v)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%s: settings %v", c.name, got)
			}
		}
	}
}

func TestAnEmptyListOfNamesIsWritten(t *testing.T) {
	b, err := templates.Daemon{DNs: []string{}}.Libvirtd()
	if err != nil || !strings.Contains(string(b), "\ntls_allowed_dn_list = []\n") {
		t.Errorf("%v\n%s", err, b)
	}
}

// Every comment that shows a setting must be right when its # is taken away.
func TestCommentedSettingsAreValid(t *testing.T) {
	for name, kind := range map[string]conf.Kind{"libvirtd": conf.Libvirtd, "virtproxyd": conf.Virtproxyd, "libvirt": conf.Client, "qemu": conf.QEMU} {
		data := map[string]any{"libvirtd": templates.Daemon{}, "virtproxyd": templates.Daemon{}, "libvirt": templates.Client{}, "qemu": templates.QEMU{}}[name]
		b, err := templates.Execute(name+".conf.tmpl", data)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			text, ok := strings.CutPrefix(line, "#")
			if key, _, assigned := strings.Cut(text, " = "); !ok || !assigned || strings.Contains(key, " ") {
				continue
			}
			_, findings := conf.Check([]byte(text+"\n"), "F", conf.LintOptions{Kind: kind})
			for _, f := range findings {
				if f.Rule == "conf-value" || f.Rule == "conf-syntax" || strings.HasSuffix(f.Rule, "-key") || f.Rule == "conf-setting-elsewhere" {
					t.Errorf("%s: %s: %s", name, line, f.Message)
				}
			}
		}
	}
}

func TestTextThatNoQuotesCanHoldIsRefused(t *testing.T) {
	for _, dn := range []string{"a\nb", "a'b\"c\"", "a\x00"} {
		if b, err := (templates.Daemon{DNs: []string{dn}}).Libvirtd(); err == nil {
			t.Errorf("%q: written as\n%s", dn, b)
		}
	}
	b, err := templates.Daemon{DNs: []string{`O=a "b",CN=c`}}.Libvirtd()
	if err != nil || !strings.Contains(string(b), `'O=a "b",CN=c'`) {
		t.Errorf("%v\n%s", err, b)
	}
}
