package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// authenticate predicts what the daemon's auth_* comes to (remoteAuthenticate).
func (a *attempt) authenticate(auth conf.Auth) bool {
	fail := func(rule, message, text string) bool {
		f := ruleByID(rule).Finding(a.URI, message)
		f.LibvirtMessage = text
		a.conclude(finding.AuthFails, f)
		return false
	}
	if wanted, ok := a.u.Param("auth"); ok {
		kind, _, _ := strings.Cut(wanted, ".")
		switch {
		case !strings.EqualFold(kind, "sasl") && !strings.EqualFold(wanted, "polkit"):
			return fail("authentication-type-of-uri", fmt.Sprintf("auth=%s is no kind of authentication.", wanted),
				"authentication failed: unknown authentication type "+wanted)
		case !strings.EqualFold(kind, string(auth)):
			return fail("authentication-type-of-uri", fmt.Sprintf("The URI wants auth=%s, and the daemon asks for %s.", wanted, auth),
				fmt.Sprintf("authentication failed: requested authentication type %s rejected", wanted))
		}
	}
	switch auth {
	case conf.AuthPolkit:
		text := ""
		if !a.s.d.exists("/run/dbus/system_bus_socket") {
			text = "internal error: Unable to get system bus connection: Could not connect: No such file or directory"
		}
		return fail("polkit-refused", "The daemon wants polkit, which over a network has nobody to ask about.", text)
	case conf.AuthSASL:
		return a.sasl(fail)
	}
	return true
}

// saslPlugins are the files of Cyrus SASL's mechanisms, without lib and .so.
var saslPlugins = map[string]string{"gssapi": "gssapiv2", "gss-spnego": "gssapiv2", "digest-md5": "digestmd5", "cram-md5": "crammd5",
	"plain": "plain", "login": "login", "anonymous": "anonymous", "scram-sha-1": "scram", "scram-sha-224": "scram", "scram-sha-256": "scram",
	"scram-sha-384": "scram", "scram-sha-512": "scram", "ntlm": "ntlm", "otp": "otp", "srp": "srp"}

var libraryDirs = []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf",
	"/usr/lib/powerpc64le-linux-gnu", "/usr/lib/riscv64-linux-gnu", "/usr/lib/s390x-linux-gnu", "/usr/lib/i386-linux-gnu", "/usr/lib64", "/usr/lib"}

// sasl predicts whether the daemon can do SASL at all; who may log in is beyond a prediction.
func (a *attempt) sasl(fail func(rule, message, text string) bool) bool {
	const refused = "authentication failed: authentication failed"
	if l := a.s.Conf.SASLAllowedUsernameList; l != nil && len(l) == 0 {
		return fail("sasl-refused", "sasl_allowed_username_list is empty: it lets nobody in.", refused)
	}
	var mechanisms []string
	listed := false
	if text, err := a.s.d.ReadFile("/etc/sasl2/libvirt.conf"); err == nil {
		for _, line := range strings.Split(string(text), "\n") {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "mech_list:"); ok {
				mechanisms, listed = strings.Fields(strings.ToLower(value)), true
			}
		}
	}
	known, installed := false, false
	for _, dir := range libraryDirs {
		if a.s.d.exists(dir + "/sasl2") {
			known = true
			for _, m := range mechanisms {
				plugin, ok := saslPlugins[m]
				installed = installed || !ok || a.s.d.exists(dir+"/sasl2/lib"+plugin+".so") || a.s.d.exists(dir+"/sasl2/lib"+plugin+".so.2")
			}
		}
	}
	if listed && known && !installed {
		return fail("sasl-not-ready", fmt.Sprintf("The daemon wants SASL, and none of its mechanisms (%s) is installed on its machine.",
			strings.Join(mechanisms, ", ")), refused)
	}
	what := "whether SASL lets the client in"
	if listed {
		what += " (" + strings.Join(mechanisms, ", ") + ")"
	}
	a.Unchecked = append(a.Unchecked, what)
	return true
}

// drivers are those that a daemon may have beside the built-in test driver.
var drivers = []string{"qemu", "xen", "lxc", "vbox", "bhyve", "ch", "vz", "openvz", "vmware", "network", "storage", "interface", "nodedev",
	"secret", "nwfilter"}

// open predicts CONNECT_OPEN with the name that the client sends.
func (a *attempt) open() {
	a.Outcome = finding.Connected
	name := a.u.RemoteName()
	if name == "" {
		if a.s.noDrivers() {
			a.noDriver("<null>", "The daemon has no driver that it could choose.")
			return
		}
		a.Unchecked = append(a.Unchecked, "which driver the daemon chooses")
		return
	}
	r, err := uri.ParseReference(name)
	if err != nil || r.Scheme == "" {
		a.noDriver(fmt.Sprintf("URI '%s' does not include a driver name", name), fmt.Sprintf("What the daemon is asked to open, %q, has no driver.", name))
		return
	}
	driver, _, _ := strings.Cut(r.Scheme, "+")
	where := ""
	if r.Path != nil {
		where = *r.Path
	}
	switch {
	case driver == "test":
		a.test(where, a.s.d.Machine)
	case !slices.Contains(drivers, driver), a.s.lacks(driver):
		a.noDriver(name, fmt.Sprintf("The daemon has no driver %q.", driver))
	case driver == "qemu" || driver == "vbox":
		ok := where == "/system" || where == "/session"
		right := "/system"
		if !a.s.d.Root {
			ok, right = where == "/session", "/session"
		}
		if !ok {
			a.refuseOpen(fmt.Sprintf("The path %q is not one that the daemon's driver opens.", where),
				fmt.Sprintf("internal error: unexpected %s URI path '%s', try %s://%s", driver, where, driver, right))
		}
	}
}

// test is the test driver, which every daemon has, and the client itself (testConnectOpen).
func (a *attempt) test(where string, m Machine) {
	switch {
	case where == "/default":
	case where == "" || where == "/":
		a.refuseOpen("The test driver needs a path.", "invalid argument: testOpen: supply a path or use test:///default")
	case m.exists(where) && a.noXML(where, m):
	case m.exists(where):
		a.Unchecked = append(a.Unchecked, fmt.Sprintf("whether %q describes a machine to the test driver", where))
	default:
		text := fmt.Sprintf("XML error: failed to parse xml document '%s'", where)
		if m.Libvirt.AtLeast(11, 0) {
			text = fmt.Sprintf("Failed to open file '%s': No such file or directory", where)
		}
		a.refuseOpen(fmt.Sprintf("The test driver does not find the file %q.", where), text)
	}
}

// noXML concludes where a file that the test driver is to read is no XML at first sight (libxml2, as libvirt words it).
func (a *attempt) noXML(where string, m Machine) bool {
	b, err := m.ReadFile(where)
	later := m.Libvirt.AtLeast(11, 0)
	text := ""
	switch {
	case errors.Is(err, syscall.EISDIR) && later:
		text = fmt.Sprintf("Failed to read file '%s': Is a directory", where)
	case errors.Is(err, syscall.EISDIR):
		text = where + ":1: Document is empty\n(null)\n^"
	case errors.Is(err, fs.ErrPermission) && !m.Root && later:
		text = fmt.Sprintf("Failed to open file '%s': Permission denied", where)
	case errors.Is(err, fs.ErrPermission) && !m.Root:
		text = fmt.Sprintf("XML error: failed to parse xml document '%s'", where)
	case err != nil || len(b) == 0 || strings.ContainsRune("< \t\r\n\ufeff", rune(b[0])) || b[0] > 0x7e:
		return false
	default:
		line, _, _ := strings.Cut(string(b), "\n")
		text = fmt.Sprintf("%s:1: Start tag expected, '<' not found\n%s\n^", where, line)
	}
	a.refuseOpen(fmt.Sprintf("The test driver cannot read %q as XML.", where), text)
	return true
}

func (a *attempt) noDriver(what, message string) {
	f := ruleByID("open-no-driver").Finding(a.URI, message)
	f.LibvirtMessage = "no connection driver available for " + what
	a.conclude(finding.OpenFails, f)
}

func (a *attempt) refuseOpen(message, text string) {
	f := ruleByID("open-refused").Finding(a.URI, message)
	f.LibvirtMessage = text
	a.conclude(finding.OpenFails, f)
}

// driverDirs gives the directories of driver modules that are there.
func (s *Server) driverDirs() []string {
	var out []string
	for _, dir := range libraryDirs {
		if d := dir + "/libvirt/connection-driver"; s.d.exists(d) {
			out = append(out, d)
		}
	}
	return out
}

// lacks reports whether a driver's module is known not to be there.
func (s *Server) lacks(driver string) bool {
	dirs := s.driverDirs()
	if driver == "xen" {
		driver = "libxl"
	}
	for _, d := range dirs {
		if s.d.exists(d + "/libvirt_driver_" + driver + ".so") {
			return false
		}
	}
	return len(dirs) > 0 && s.d.Kind != conf.Virtproxyd
}

// noDrivers reports whether no driver of machines is known to be there.
func (s *Server) noDrivers() bool {
	return s.d.Kind != conf.Virtproxyd && s.lacks("qemu") && s.lacks("xen") && s.lacks("lxc") && s.lacks("vbox")
}
