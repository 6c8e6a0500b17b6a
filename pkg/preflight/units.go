package preflight

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/unit"
)

// When a daemon ends because of how it is run: before it reads its configuration, before it listens, or after it has loaded
// its credentials (main of remote_daemon.c, daemonSetupNetworking).
const (
	beforeConfiguration = iota
	beforeNetwork
	afterNetwork
)

// stageOf says when; nothing else among the units' findings keeps the daemon from starting.
var stageOf = map[string]int{"daemon-masked": beforeConfiguration, "service-cannot-start": beforeConfiguration, "unit-condition-fails": beforeConfiguration,
	"daemon-arguments": beforeConfiguration, "listen-with-sockets": beforeNetwork, "socket-name-unknown": afterNetwork}

// deafening are the findings because of which nothing listens although the daemon could.
var deafening = []string{"daemon-not-started", "socket-needs-masked", "socket-not-started", "socket-condition-fails"}

// runByUnit gives how systemd runs the daemon, and takes the findings about it.
func (s *Server) runByUnit(d Daemon) conf.Run {
	run := d.Run
	x := d.Units.Daemon(d.Kind.String())
	if x == nil {
		return run
	}
	s.Findings = d.Units.Findings(x, d.Shown)
	for _, c := range x.Unjudged() {
		file := c.File
		if d.Shown != nil {
			file = d.Shown(file)
		}
		s.Unchecked = append(s.Unchecked, fmt.Sprintf("whether %s holds (%s:%d): only the running machine can tell", c, file, c.Line))
	}
	run.Listen = x.Arguments.Listen
	run.SocketActivated = len(x.Passed()) > 0
	s.tls, s.tcp = x.Takes("-tls"), x.Takes("-tcp")
	run.TLSSocket, run.TCPSocket = len(s.tls) > 0, len(s.tcp) > 0
	return run
}

// unitRefuses concludes with what ends the daemon at a stage.
func (s *Server) unitRefuses(stage int) bool {
	for i, f := range s.Findings {
		if at, ok := stageOf[f.Rule]; !ok || at != stage || f.Effect != finding.RefusesToStart {
			continue
		}
		s.ListensTLS, s.ListensTCP = false, false
		s.LibvirtMessage = f.LibvirtMessage
		if f.Rule == "listen-with-sockets" {
			// Which settings of listening count is the administrator's choice now.
			s.Findings = slices.DeleteFunc(s.Findings, func(f finding.Finding) bool { return f.Rule == "conf-listen-activated" })
			i = slices.IndexFunc(s.Findings, func(o finding.Finding) bool { return o.Rule == f.Rule })
		}
		if s.LibvirtMessage != "" {
			s.LogLines = []string{s.LibvirtMessage}
		}
		switch {
		case stage != beforeConfiguration:
			s.Exit = conf.ExitNetwork
		case f.Rule == "daemon-arguments":
			s.Exit = exitArguments
		}
		s.lead(i)
		return true
	}
	return false
}

// exitArguments is the exit status of a daemon that does not like its arguments.
const exitArguments = 1

// listening finishes: whether somebody starts the daemon, and why it does not listen for TLS.
func (s *Server) listening() {
	if s.d.Units == nil {
		return
	}
	x := s.d.Units.Daemon(s.d.Kind.String())
	if x == nil {
		return
	}
	s.byUnits(x)
	if s.portsOfSockets(x); s.deaf != nil {
		s.dropListenAdvice()
		return
	}
	for i, f := range s.Findings {
		if !slices.Contains(deafening, f.Rule) || f.Severity != finding.Error || f.Rule != "daemon-not-started" && s.ListensTLS {
			continue
		}
		s.ListensTLS, s.ListensTCP = false, s.ListensTCP && f.Rule != "daemon-not-started"
		s.lead(i)
		s.Cause = "" // it does start
		s.deaf = &s.cause
		s.dropListenAdvice()
		return
	}
	if s.ListensTLS {
		return
	}
	message, remedy := s.deafToTLS(x)
	f := ruleByID("daemon-does-not-listen").Finding(s.line("listen_tls"), message)
	f.Remedy = s.d.Units.Systemctl(remedy)
	if !s.Conf.ListenTLS || !s.has("listen_tls") {
		f.Severity = finding.Warning // nobody has asked for it yet
	}
	s.dropListenAdvice()
	s.Findings = append([]finding.Finding{f}, s.Findings...)
	f.Severity = finding.Error
	s.deaf = &f
}

func (s *Server) has(key string) bool {
	_, ok := s.Conf.File.Lookup(key)
	return ok
}

// dropListenAdvice leaves out what says once more, with less knowledge, why nothing listens.
func (s *Server) dropListenAdvice() {
	at := s.line("listen_tls")
	s.Findings = slices.DeleteFunc(s.Findings, func(f finding.Finding) bool {
		return (f.Rule == "conf-listen-argument" || f.Rule == "conf-proxy-listen" || f.Rule == "conf-listen-activated") && f.Subject == at ||
			f.Rule == "conf-proxy-listen"
	})
}

// byUnits puts what the units say into findings about the configuration that could only say where to look.
func (s *Server) byUnits(x *unit.Daemon) {
	if len(x.Passed()) == 0 {
		return
	}
	var out []finding.Finding
	for _, f := range s.Findings {
		switch f.Rule {
		case "conf-listen-activated":
			key, _, _ := strings.Cut(f.Message, " ")
			if name, setting := socketSetting(x.Name, key); name != "" {
				f.Remedy = fmt.Sprintf("systemctl edit %s: %s; take %s out of %s", name, setting, key, f.Subject)
			}
		case "conf-socket-open":
			mode := s.socketMode(false)
			if mode&0o002 == 0 {
				continue
			}
			f.Severity = finding.Error
			f.Message = fmt.Sprintf("auth_unix_rw is none, and %s.socket has SocketMode=%04o: every local user is root", x.Name, mode)
			f.Remedy = fmt.Sprintf("systemctl edit %s.socket: write SocketMode=0660 and SocketGroup=libvirt under [Socket]; systemctl restart %s.socket", x.Name, x.Name)
		}
		out = append(out, f)
	}
	s.Findings = out
}

// socketSetting says in which socket unit, and as what, a setting of the configuration stands when systemd passes sockets.
func socketSetting(daemon, key string) (name, setting string) {
	switch key {
	case "tls_port":
		return daemon + "-tls.socket", "write ListenStream= and ListenStream=PORT under [Socket]"
	case "tcp_port":
		return daemon + "-tcp.socket", "write ListenStream= and ListenStream=PORT under [Socket]"
	case "listen_addr":
		return daemon + "-tls.socket", "write ListenStream= and ListenStream=ADDRESS:16514 under [Socket]"
	case "unix_sock_group":
		return daemon + ".socket", "write SocketGroup=GROUP under [Socket]"
	case "unix_sock_rw_perms":
		return daemon + ".socket", "write SocketMode=MODE under [Socket]"
	case "unix_sock_ro_perms":
		return daemon + "-ro.socket", "write SocketMode=MODE under [Socket]"
	case "unix_sock_admin_perms":
		return daemon + "-admin.socket", "write SocketMode=MODE under [Socket]"
	}
	return "", ""
}

// deafToTLS says why the daemon as it is run does not listen for TLS, and what cures it.
func (s *Server) deafToTLS(x *unit.Daemon) (message, remedy string) {
	set := ""
	if s.has("listen_tls") && s.Conf.ListenTLS {
		set = "listen_tls = 1 is not enough: "
	}
	socket := x.Socket("-tls")
	if len(x.Passed()) > 0 {
		name := x.Name + "-tls.socket"
		switch {
		case socket == nil:
			return set + fmt.Sprintf("systemd passes %s its sockets, and there is no %s.", x.Name, name),
				fmt.Sprintf("install %s (Debian: libvirt-daemon-system, Fedora: libvirt-daemon or libvirt-daemon-proxy), then: %s", name, unit.StartTLS(x.Name))
		case socket.State.Off():
			return set + fmt.Sprintf("systemd passes %s its sockets, and %s is masked.", x.Name, name),
				fmt.Sprintf("systemctl unmask %s; %s", name, unit.StartTLS(x.Name))
		case socket.Passed:
			return set + fmt.Sprintf("%s passes no address that is one of TCP.", name), "systemctl edit " + name + ": write ListenStream= and ListenStream=16514"
		}
		return set + fmt.Sprintf("systemd passes %s its sockets, and %s is %s.", x.Name, name, socket.State), unit.StartTLS(x.Name)
	}
	restart := "systemctl restart " + x.Service.Name
	if !s.Conf.ListenTLS {
		what := "listen_tls is 0"
		if !s.has("listen_tls") {
			what = "listen_tls is not set, which is 0 for " + x.Name
		}
		return "The daemon does not listen for TLS: " + what + ".", fmt.Sprintf("virt-pki conf set listen_tls 1 %s; %s", s.d.ConfFile, restart)
	}
	variable, file := "LIBVIRTD_ARGS", "/etc/default/libvirtd"
	if c := x.Command; c != nil && len(c.Used) > 0 && len(c.Files) > 0 {
		variable, file = c.Used[0], c.Files[0]
	}
	return set + "libvirtd is run without --listen, and systemd passes it no socket.",
		fmt.Sprintf("write %s=\"--listen\" into %s; %s", variable, file, restart)
}

// portsOfSockets judges the ports of sockets on which it is systemd that is to listen.
func (s *Server) portsOfSockets(x *unit.Daemon) {
	for _, k := range x.Sockets {
		if k.Up() || !k.Boots() && !k.Passed {
			continue // it has its port, or wants none
		}
		for _, a := range k.Streams {
			o, taken := s.taken(a.Port, func(has netip.Addr) bool { return clashes(a, has) })
			if a.Port == 0 || !taken {
				continue
			}
			f := ruleByID("port-taken").Finding(s.shown(a.File, a.Line), fmt.Sprintf("%s cannot listen on %s: %s has the port.", k.Name, a.Text, o))
			f.Remedy = fmt.Sprintf("ss -ltnp sport = :%d, and stop that program; or another ListenStream=: systemctl edit %s", a.Port, k.Name)
			f.Effect = finding.NoEffect
			s.Findings = slices.DeleteFunc(s.Findings, func(o finding.Finding) bool {
				return o.Rule == "socket-not-started" && strings.HasPrefix(o.Message, k.Name+" ")
			})
			s.Findings = append([]finding.Finding{f}, s.Findings...)
			if k.Descriptor == x.Name+"-tls.socket" {
				s.ListensTLS, s.deaf = false, &f
			}
			break
		}
	}
}

func (s *Server) shown(file string, line int) string {
	if s.d.Shown != nil {
		file = s.d.Shown(file)
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// Files lists the credential files that the daemon loads.
func (s *Server) Files() []string { return slices.Clone(s.files) }

// Stale says what was changed since the running daemon was started: it reads its configuration and its arguments only then, and
// its credentials then and when it is told to. changed gives the time of a file's last change, zero where it is not there.
func (s *Server) Stale(changed func(name string) time.Time) []finding.Finding {
	if s.d.Units == nil || s.Conf == nil {
		return nil
	}
	x := s.d.Units.Daemon(s.d.Kind.String())
	if x == nil || !x.Service.Up() || x.Service.Running.Since.IsZero() {
		return nil
	}
	since := x.Service.Running.Since
	newer := func(name string) bool { return changed(name).Truncate(time.Second).After(since) }
	add := func(name, remedy string) []finding.Finding {
		f := ruleByID("daemon-not-restarted").Finding(name, fmt.Sprintf("It was changed at %s, and %s runs since %s: it does not know the change.",
			changed(name).UTC().Format(time.DateTime), x.Name, since.UTC().Format(time.DateTime)))
		f.Remedy = remedy
		return []finding.Finding{f}
	}
	restart := "systemctl restart " + x.Service.Name
	settings := []string{s.d.ConfFile}
	if x.Command != nil {
		settings = append(settings, x.Command.Files...)
	}
	for _, name := range settings {
		if newer(name) {
			return add(name, restart)
		}
	}
	if !s.ListensTLS {
		return nil
	}
	for _, f := range s.files {
		if newer(f) {
			remedy := fmt.Sprintf("virt-admin -c %[1]s:///system server-update-tls %[1]s", x.Name)
			if files, err := s.Conf.TLSFiles(); err != nil || !files.Default {
				remedy = restart // a reload reads the default paths, whatever is configured
			}
			return add(f, remedy)
		}
	}
	return nil
}

// OtherDaemon judges the configuration of a daemon that does not do TLS on a machine: settings of remote access that were
// written there are read by nobody who listens. confFile is the name of the file; serving is the daemon that does TLS, with
// its own file.
func OtherDaemon(text []byte, confFile string, serving conf.Kind, servingFile string) []finding.Finding {
	f, err := conf.Parse(text, confFile)
	if err != nil {
		return nil
	}
	var keys []string
	line := 0
	for _, s := range conf.Settings(conf.Libvirtd, conf.Release{Major: 12}) {
		if !remoteSetting(s.Key) {
			continue
		}
		if e, ok := f.Lookup(s.Key); ok {
			keys = append(keys, s.Key)
			if line == 0 || e.Line < line {
				line = e.Line
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	r := ruleByID("other-daemons-configuration").Finding(fmt.Sprintf("%s:%d", confFile, line),
		fmt.Sprintf("%s set in %s, but it is %s that does TLS here, and it reads %s.", verb(keys), path.Base(confFile), serving, servingFile))
	r.Remedy = fmt.Sprintf("move %s into %s", strings.Join(keys, ", "), servingFile)
	return []finding.Finding{r}
}

func verb(keys []string) string {
	if len(keys) == 1 {
		return keys[0] + " is"
	}
	return strings.Join(keys, ", ") + " are"
}

// remoteSetting reports whether a setting is about remote access.
func remoteSetting(key string) bool {
	switch key {
	case "listen_tls", "listen_tcp", "tls_port", "tcp_port", "listen_addr", "auth_tls", "auth_tcp", "tcp_min_ssf",
		"ca_file", "cert_file", "key_file", "crl_file", "cert_files", "key_files", "tls_no_sanity_certificate", "tls_no_verify_certificate",
		"tls_allowed_dn_list", "tls_priority":
		return true
	}
	return false
}
