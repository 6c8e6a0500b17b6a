package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/unit"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Daemon is a daemon that is about to be started.
type Daemon struct {
	Machine
	// Kind is conf.Libvirtd or conf.Virtproxyd. Conf is its configuration and ConfFile the name of that file.
	Kind     conf.Kind
	Conf     []byte
	ConfFile string
	// ConfErr says why a file that --config names cannot be read; Conf counts for nothing then.
	ConfErr error
	// Run says how it is run. Its Libvirt and Session are set from the Machine; with Units, --listen and the sockets are
	// theirs.
	Run conf.Run
	// Units say how systemd runs the daemon, as package unit found it; nil: Run says it, and the sockets of a socket-activated
	// daemon have the ports of libvirt's own units. Shown gives the name by which a file of the daemon's machine is called
	// in findings; nil: its own.
	Units *unit.Survey
	Shown func(path string) string
	// Ports are the listening TCP sockets of the machine now; nil: they are not known, or nothing runs there.
	Ports []Listening
	// At is the time by which certificates are judged.
	At time.Time
	// Memory of signatures may be shared by both ends and many predictions.
	Memory *verify.Memory
	// Judge says what RFC 5280 says beside libvirt; nil: it is not asked.
	Judge *Judge
	// Resolver looks up names that listen_addr has; nil: they are not looked up.
	Resolver probe.Resolver
	// Own reports whether an address is one of the machine's; nil: it is not known.
	Own func(netip.Addr) bool
}

// A Server is what Start made of a Daemon. It does not change and may be used by several goroutines.
type Server struct {
	// Starts says whether the daemon comes up. If not, Cause says why, LibvirtMessage is the first error it prints, LogLines
	// are all of them, and Exit is its exit status.
	Starts         bool
	Cause          string
	LibvirtMessage string
	LogLines       []string
	Exit           int
	// ListensTLS and ListensTCP say whether it accepts such connections.
	ListensTLS, ListensTCP bool
	// Findings are about the configuration and the daemon's files; the cause stands first.
	Findings []finding.Finding
	// Unchecked says what could not be judged, and why.
	Unchecked []string
	// Conf are the settings, as far as they could be read; nil where the grammar is at fault.
	Conf *conf.Daemon

	d       Daemon
	own     credentials
	files   []string // that it loads
	allowed *dnmatch.List
	// tls and tcp are the addresses of passed sockets.
	tls, tcp []unit.Stream
	// deaf is why nothing listens although the daemon could; nil: it is the daemon that does not.
	deaf *finding.Finding
	// listen holds the addresses it listens on; nil: all.
	listen []netip.Addr
	cause  finding.Finding
	// priorities holds expanded strings: of a thousand clients most have the same.
	priorities sync.Map
	// resolved holds names that were looked up.
	resolved sync.Map
}

// Start predicts the daemon's start.
func (d Daemon) Start(ctx context.Context) *Server {
	d.Run.Libvirt = conf.Release{Major: d.Libvirt.Major, Minor: d.Libvirt.Minor}
	d.Run.Session = !d.Root
	s := &Server{}
	if d.Units != nil {
		d.Run = s.runByUnit(d)
	} else if d.Run.SocketActivated {
		s.tls, s.tcp = []unit.Stream{{Text: "16514", Port: 16514}}, []unit.Stream{{Text: "16509", Port: 16509}}
	}
	s.d = d
	if s.unitRefuses(beforeConfiguration) {
		return s
	}
	if d.ConfErr != nil {
		text := fmt.Sprintf("Failed to open file '%s': %s", d.ConfFile, reason(d.ConfErr))
		f := ruleByID("configuration-missing").Finding(d.ConfFile, fmt.Sprintf("The daemon is told by --config to read %q: %s.", d.ConfFile, reason(d.ConfErr)))
		f.LibvirtMessage = fmt.Sprintf("Can't load config file: %s: %s", text, d.ConfFile)
		s.fails(f)
		s.Exit = exitArguments
		return s
	}
	o := conf.LintOptions{Kind: d.Kind, Run: d.Run, GnuTLS: d.GnuTLS}
	f, err := conf.ParseFor(d.Conf, d.ConfFile, d.Run.Libvirt)
	if err != nil {
		_, found := conf.Check(d.Conf, d.ConfFile, o)
		s.Findings = append(s.Findings, found...)
		s.refused(err, s.Findings)
		return s
	}
	s.Findings = append(s.Findings, conf.Lint(f, o)...)
	c, err := conf.ReadDaemon(f, d.Kind, d.Run)
	s.Conf = c
	if err != nil {
		s.refused(err, s.Findings)
		return s
	}
	if s.unitRefuses(beforeNetwork) || !s.opensLogs() || !s.makesSockets() {
		return s
	}
	s.ListensTLS, s.ListensTCP = c.ListensTLS(), c.ListensTCP()
	// The TCP port is bound before the credentials are looked at, the TLS port after them (daemonSetupNetworking).
	if s.ListensTCP && !s.bind(ctx, c.TCPPort) {
		return s
	}
	if s.ListensTLS {
		if !s.credentials() || !s.bind(ctx, c.TLSPort) {
			return s
		}
		if c.TLSAllowedDNList != nil {
			list, err := dnmatch.NewList(c.TLSAllowedDNList)
			if err != nil {
				s.Unchecked = append(s.Unchecked, fmt.Sprintf("tls_allowed_dn_list: %v", err))
			} else {
				s.allowed = list
			}
		}
	}
	if s.unitRefuses(afterNetwork) {
		return s
	}
	s.Starts = true
	s.listening()
	return s
}

// reason is the error's own text as the C library words it.
func reason(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		err = no
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "No such file or directory"
	}
	if text := err.Error(); text != "" {
		return strings.ToUpper(text[:1]) + text[1:]
	}
	return ""
}

// refused concludes with libvirt's no to the configuration; among the findings is the one that says it.
func (s *Server) refused(err error, fs []finding.Finding) {
	var r conf.Refusal
	if !errors.As(err, &r) {
		return
	}
	s.LibvirtMessage, s.LogLines, s.Exit = r.Error(), r.LogLines(), r.ExitStatus()
	for i, f := range fs {
		if f.LibvirtMessage == s.LibvirtMessage && f.Severity == finding.Error {
			s.lead(i)
			return
		}
	}
	_, line := r.Position()
	subject := s.d.ConfFile
	if line > 0 {
		subject = fmt.Sprintf("%s:%d", subject, line)
	}
	f := ruleByID("conf-value").Finding(subject, "libvirt refuses the configuration: "+r.Error())
	f.LibvirtMessage = r.Error()
	s.Findings = append([]finding.Finding{f}, s.Findings...)
	s.lead(0)
}

// lead puts the finding at i first: it is the cause.
func (s *Server) lead(i int) {
	f := s.Findings[i]
	rest := append(append([]finding.Finding(nil), s.Findings[:i]...), s.Findings[i+1:]...)
	s.Findings = append([]finding.Finding{f}, rest...)
	s.Cause, s.cause = f.Rule, f
}

// fails concludes with a reason in the network set-up.
func (s *Server) fails(f finding.Finding) bool {
	s.LibvirtMessage, s.LogLines, s.Exit = f.LibvirtMessage, []string{f.LibvirtMessage}, conf.ExitNetwork
	s.Findings = append(s.Findings, f)
	s.lead(len(s.Findings) - 1)
	return false
}

// credentials loads the daemon's own files.
func (s *Server) credentials() bool {
	files, err := s.Conf.TLSFiles()
	if err != nil {
		s.refused(err, s.Findings)
		return false
	}
	w := wanted{role: certs.Server, noSanity: s.Conf.TLSNoSanityCertificate, at: s.d.At, memory: s.d.Memory}
	if files.Default {
		w.search = s.d.defaults(certs.Server, "", false)
	} else {
		w.ca, w.crl, w.crlConfigured = files.CA, files.CRL, files.HasCRL
		for i := range min(len(files.Certs), len(files.Keys)) {
			w.pairs = append(w.pairs, uri.Pair{Cert: files.Certs[i], Key: files.Keys[i]})
		}
	}
	s.files = []string{w.ca, w.crl}
	for _, p := range w.pairs {
		s.files = append(s.files, p.Cert, p.Key)
	}
	s.own = s.d.load(w)
	beside := s.d.Judge.ofOwn(s.own, certs.Server, s.d.At, s.d.Memory)
	if s.own.cause != nil {
		cause := *s.own.cause
		s.LibvirtMessage, s.LogLines, s.Exit = cause.LibvirtMessage, []string{cause.LibvirtMessage}, conf.ExitNetwork
		n := len(s.Findings)
		s.Findings = append(s.Findings, s.own.findings...)
		for i := n; i < len(s.Findings); i++ {
			if caseOf(s.Findings[i]) == caseOf(cause) {
				s.lead(i)
				break
			}
		}
		s.Findings = append(s.Findings, beside...)
		return false
	}
	s.Findings = append(append(s.Findings, s.own.findings...), beside...)
	return true
}

// bind predicts whether the daemon can listen (virNetSocketNewListenTCP).
func (s *Server) bind(ctx context.Context, port string) bool {
	if s.Conf.Run.SocketActivated {
		return true // it is systemd that listens
	}
	address := s.Conf.ListenAddr
	if _, ok := portNumber(port); !ok && port != "" && s.d.ReadFile != nil && !s.knownService(port) {
		f := ruleByID("listen-port-unknown").Finding(s.d.ConfFile, fmt.Sprintf("The port %q is neither a number nor a service of /etc/services.", port))
		name := "(null)"
		if address != nil {
			name = *address
		}
		f.LibvirtMessage = fmt.Sprintf("Unable to resolve address '%s' service '%s': Servname not supported for ai_socktype", name, port)
		return s.fails(f)
	}
	if address == nil || s.listen != nil {
		return s.free(port)
	}
	if s.d.Resolver == nil {
		s.Unchecked = append(s.Unchecked, fmt.Sprintf("whether listen_addr %q is an address of that machine: names were not looked up", *address))
		return true
	}
	addrs, err := probe.Resolve(ctx, *address, s.d.Resolver)
	if err != nil {
		_, text := probe.ResolveFailure(err)
		f := ruleByID("listen-address-unresolved").Finding(s.line("listen_addr"), fmt.Sprintf("listen_addr %q has no address: %s.", *address, text))
		f.LibvirtMessage = fmt.Sprintf("Unable to resolve address '%s' service '%s': %s", *address, port, text)
		return s.fails(f)
	}
	if s.d.Own == nil {
		s.Unchecked = append(s.Unchecked, fmt.Sprintf("whether listen_addr %q is an address of the daemon's machine", *address))
	}
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if s.d.Own == nil || a.IsUnspecified() || s.d.Own(a) {
			s.listen = append(s.listen, a)
		}
	}
	if s.listen == nil {
		f := ruleByID("listen-address-not-own").Finding(s.line("listen_addr"), fmt.Sprintf("listen_addr %q is no address of this machine.", *address))
		f.LibvirtMessage = "Unable to bind to port: Cannot assign requested address"
		return s.fails(f)
	}
	return s.free(port)
}

// free judges whether the daemon gets its port. It goes on when it gets it for one address at least.
func (s *Server) free(port string) bool {
	n, ok := s.port(port)
	if !ok {
		return true
	}
	wanted := s.listen
	if wanted == nil {
		wanted = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	var left []netip.Addr
	var by Listening
	for _, w := range wanted {
		l, taken := s.taken(n, func(a netip.Addr) bool { return clash(w, a) })
		if taken {
			by = l
		} else {
			left = append(left, w)
		}
	}
	if by.Port == 0 {
		return true
	}
	f := ruleByID("port-taken").Finding(s.d.ConfFile, fmt.Sprintf("Port %d is taken: %s.", n, by))
	f.Remedy = fmt.Sprintf("ss -ltnp sport = :%d, and stop that program; or another port in %s", n, s.d.ConfFile)
	if len(left) == 0 {
		f.LibvirtMessage = "Unable to bind to port: Address already in use"
		return s.fails(f)
	}
	f.Severity, f.Effect = finding.Warning, finding.NoEffect
	f.Message = fmt.Sprintf("Port %d is taken: %s. The daemon goes on with %s only.", n, by, words(left))
	s.Findings = append(s.Findings, f)
	s.listen = left
	return true
}

// opensLogs judges whether the daemon can open its log files, and makesSockets whether its own directory for sockets is there.
// Where the machine's files were only collected, a directory that is not among them says nothing.
func (s *Server) opensLogs() bool {
	for _, file := range s.Conf.LogFiles() {
		if s.d.Own == nil || !path.IsAbs(file) {
			continue
		}
		_, err := s.d.ReadFile(file)
		if missing(err) {
			if _, err = s.d.ReadFile(path.Dir(file)); !missing(err) {
				continue
			}
		} else if !errors.Is(err, syscall.EISDIR) {
			continue
		}
		f := ruleByID("log-file-unopenable").Finding(s.line("log_outputs"), fmt.Sprintf("The daemon cannot open its log file %q: %s.", file, reason(err)))
		f.LibvirtMessage = fmt.Sprintf("failed to open %s: %s", file, reason(err))
		s.fails(f)
		s.LogLines, s.Exit = []string{"libvirt:  error : " + f.LibvirtMessage}, conf.ExitConfig
		return false
	}
	return true
}

func (s *Server) makesSockets() bool {
	dir := s.Conf.UnixSockDir
	if dir == nil || s.d.Own == nil || s.Conf.Run.SocketActivated || !path.IsAbs(*dir) {
		return true
	}
	_, err := s.d.ReadFile(*dir)
	if !missing(err) {
		return true
	}
	f := ruleByID("socket-directory-missing").Finding(s.line("unix_sock_dir"), fmt.Sprintf("The directory %q for the daemon's sockets is not there.", *dir))
	f.LibvirtMessage = fmt.Sprintf("Failed to bind socket to '%s/libvirt-sock': %s", *dir, reason(err))
	return s.fails(f)
}

// missing reports whether an error of ReadFile means that there is no such file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// line gives file and line of a setting.
func (s *Server) line(key string) string {
	if e, ok := s.Conf.File.Lookup(key); ok {
		return fmt.Sprintf("%s:%d", s.d.ConfFile, e.Line)
	}
	return s.d.ConfFile
}

// portNumber reads a port as getaddrinfo does: decimal, modulo 65536, with blanks or a plus before it; * is no port, which is
// left to the system.
func portNumber(s string) (uint16, bool) {
	if s == "*" {
		return 0, true
	}
	s = strings.TrimPrefix(strings.TrimLeft(s, " \t\n\v\f\r"), "+")
	n, err := strconv.ParseUint(s, 10, 64)
	return uint16(n), err == nil
}

// knownService looks a service up in /etc/services.
func (s *Server) knownService(name string) bool {
	_, ok := s.service(name)
	return ok
}

func (s *Server) service(name string) (uint16, bool) {
	text, err := s.d.ReadFile("/etc/services")
	if err != nil {
		return 0, false
	}
	for _, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		port, ok := strings.CutSuffix(fields[1], "/tcp")
		if !ok {
			continue
		}
		for i, f := range fields {
			if i != 1 && f == name {
				return portNumber(port)
			}
		}
	}
	return 0, false
}

// port gives the number a configured port comes to; false: one that the system chooses.
func (s *Server) port(text string) (uint16, bool) {
	if n, ok := portNumber(text); ok {
		return n, n != 0
	}
	return s.service(text)
}

// expand expands a priority string once.
func (s *Server) expand(text string, o priority.Options) (*priority.Expansion, error) {
	type key struct {
		text string
		priority.Options
	}
	type result struct {
		x   *priority.Expansion
		err error
	}
	if r, ok := s.priorities.Load(key{text, o}); ok {
		return r.(result).x, r.(result).err
	}
	x, err := priority.Expand(text, o)
	if err == nil && x.SetError != nil {
		err = x.SetError
	}
	s.priorities.Store(key{text, o}, result{x, err})
	return x, err
}

// resolve looks a client's host up once.
func (s *Server) resolve(ctx context.Context, host string, r probe.Resolver) ([]netip.Addr, error) {
	type result struct {
		addrs []netip.Addr
		err   error
	}
	if v, ok := s.resolved.Load(host); ok {
		return v.(result).addrs, v.(result).err
	}
	addrs, err := probe.Resolve(ctx, host, r)
	addrs = probe.Reached(addrs)
	s.resolved.Store(host, result{addrs, err})
	return addrs, err
}
