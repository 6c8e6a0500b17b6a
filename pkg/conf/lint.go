package conf

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

// LintOptions say for whom a file is judged.
type LintOptions struct {
	// Kind is the program that reads the file; 0: the one that its name says.
	Kind Kind
	// Run says how a daemon is run. With the zero value libvirtd is taken to run without --listen.
	Run Run
	// ListenUnknown says that nobody knows whether libvirtd is run with --listen, whatever Run says: that it has to be is
	// told as well.
	ListenUnknown bool
	// GnuTLS says with which library tls_priority is judged; zero: 3.7.9 without system configuration.
	GnuTLS priority.Options
	// DirExists tells whether a directory of qemu.conf exists; nil: not looked at.
	DirExists func(dir string) bool
}

// Check parses a file and lints it. A file that libvirt does not read gives no *File and one finding.
func Check(b []byte, name string, o LintOptions) (*File, []finding.Finding) {
	if o.Kind == 0 {
		o.Kind = KindOf(name)
	}
	f, err := ParseFor(b, name, o.Run.Libvirt)
	if err != nil {
		return nil, []finding.Finding{syntaxFinding(err, o.Kind)}
	}
	return f, Lint(f, o)
}

// syntaxFinding reports a file that cannot be read.
func syntaxFinding(err error, k Kind) finding.Finding {
	var e *ParseError
	if !errors.As(err, &e) {
		return ruleByID("conf-syntax").Finding("", err.Error())
	}
	subject := e.File
	if e.Line > 0 {
		subject = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	r := ruleByID("conf-syntax")
	if k == Client || k == Admin {
		r.Effect = finding.NoEffect
	}
	f := r.Finding(subject, fmt.Sprintf("libvirt cannot read the file: %s", e.Text))
	f.LibvirtMessage = e.Error()
	if h := e.Hints(); len(h) > 0 {
		f.Remedy = h[0]
	}
	return f
}

// Lint gives findings about a file that can be read: what libvirt refuses, ignores, and what is dangerous in it. They are
// sorted by line.
func Lint(f *File, o LintOptions) []finding.Finding {
	if o.Kind == 0 {
		o.Kind = KindOf(f.name)
	}
	l := &linter{f: f, o: o, k: o.Kind, alike: map[string]int{}}
	l.values()
	l.keys()
	switch {
	case o.Kind.Daemon():
		l.daemon()
	case o.Kind == QEMU:
		l.qemu()
	}
	l.priorities()
	for p := range f.AugeasProblems() {
		l.add("conf-augeas", p.Line, "Augeas cannot read the file: %s", p.Reason)
		break // one place is enough to make it so
	}
	l.tellTheRest()
	sort.SliceStable(l.found, func(i, j int) bool { return l.found[i].line < l.found[j].line })
	var out []finding.Finding
	for _, f := range l.found {
		out = append(out, f.Finding)
	}
	return out
}

type linter struct {
	f     *File
	o     LintOptions
	k     Kind
	found []located
	// loaded is what lenient read.
	loaded *Daemon
	// alike counts the findings of each rule.
	alike map[string]int
	// untold is written to in the place of findings that are only counted.
	untold finding.Finding
	// strangers counts the keys that nobody knows.
	strangers int
}

// maxStrangers is up to how many unknown keys the likely one is looked for: a file with more is none of libvirt's.
const maxStrangers = 1000

func (l *linter) meant(key string, candidates []Setting) string {
	if l.strangers > maxStrangers {
		return ""
	}
	return similar(key, candidates)
}

type located struct {
	finding.Finding
	line int
}

// maxAlike is up to how many findings of one rule are told one by one: a file of ten million settings that stand twice is
// no better understood from as many sentences.
const maxAlike = 1000

// add notes a finding. The pointer is good until the next add.
func (l *linter) add(rule string, line int, format string, args ...any) *finding.Finding {
	if l.alike[rule]++; l.alike[rule] > maxAlike {
		return &l.untold
	}
	subject := l.f.name
	if line > 0 {
		subject = fmt.Sprintf("%s:%d", l.f.name, line)
	}
	l.found = append(l.found, located{ruleByID(rule).Finding(subject, fmt.Sprintf(format, args...)), line})
	return &l.found[len(l.found)-1].Finding
}

// tellTheRest says of every rule how many findings were only counted. Their severity is the rule's, as
// grave as any of them can be.
func (l *linter) tellTheRest() {
	for _, rule := range slices.Sorted(maps.Keys(l.alike)) {
		if n := l.alike[rule]; n > maxAlike {
			l.found = append(l.found, located{ruleByID(rule).Finding(l.f.name, fmt.Sprintf("%d more like these; the first %d are told", n-maxAlike, maxAlike)), math.MaxInt})
		}
	}
}

func (l *linter) line(key string) int {
	e, _ := l.f.Lookup(key)
	return e.Line
}

func (l *linter) has(key string) bool {
	_, ok := l.f.Lookup(key)
	return ok
}

// values reports what libvirt refuses. libvirt stops at the first; all are told.
func (l *linter) values() {
	var faults []*FatalError
	fault := func(err error) {
		var e *FatalError
		if !errors.As(err, &e) {
			return
		}
		for _, old := range faults {
			if old.Key == e.Key {
				return
			}
		}
		faults = append(faults, e)
	}
	wrong := map[string]bool{}
	for _, s := range Settings(l.k, l.o.Run.Libvirt) {
		if err := l.f.checkType(s); err != nil {
			wrong[s.Key] = true
			fault(err)
		}
	}
	stops := map[string]string{}
	switch {
	case l.k.Daemon():
		d, err := ReadDaemon(l.f, l.k, l.o.Run) // the first one in libvirt's order
		if err == nil {
			l.loaded = d // nothing is left to be lenient with
		}
		faults = nil
		fault(err)
		for _, s := range Settings(l.k, l.o.Run.Libvirt) {
			fault(l.f.checkType(s))
		}
		d = l.lenient()
		for _, s := range Settings(l.k, l.o.Run.Libvirt) {
			if !wrong[s.Key] {
				fault(d.checkLoaded(s.Key))
			}
		}
		for _, check := range []func() error{d.checkHostUUID, d.checkLogging, d.checkAccess, d.checkLimits, d.checkSockets} {
			fault(check())
		}
		if _, err := d.TLSFiles(); err != nil && !l.pathOfWrongType(wrong) {
			fault(err)
		}
	case l.k == QEMU:
		_, err := ReadQEMU(l.f, l.o.Run.Libvirt, l.o.DirExists)
		fault(err)
		for _, s := range Settings(QEMU, l.o.Run.Libvirt) {
			if message := l.f.checkQEMU(s.Key); message != "" && !wrong[s.Key] {
				fault(l.f.driverFails(s.Key, message))
			}
		}
	case l.k == Client || l.k == Admin:
		for _, p := range ReadClient(l.f, l.k).Problems {
			fault(p.FatalError)
			stops[p.Key] = p.Stops
		}
	}
	for _, e := range faults {
		rule := "conf-value"
		if strings.Contains(e.Message, "path set to match") || strings.Contains(e.Message, "path(s) set to match") ||
			strings.Contains(e.Message, "mutually exclusive") || strings.Contains(e.Message, "must match number of keys") {
			rule = "conf-files-incomplete"
		}
		text := e.Message
		if s, ok := LookupSetting(l.k, e.Key); ok && rule == "conf-value" {
			text = fmt.Sprintf("%s is refused: it takes %s", e.Key, describeType(s))
		}
		line := e.Line
		if line == 0 {
			for _, key := range []string{"ca_file", "cert_file", "key_file", "cert_files", "key_files"} {
				if l.has(key) {
					line = l.line(key)
					break
				}
			}
		}
		found := l.add(rule, line, "%s", text)
		found.LibvirtMessage = e.Message
		switch {
		case l.k == Client || l.k == Admin:
			found.Effect = finding.NoEffect
			if s := stops[e.Key]; s != "" {
				found.Message += "; it stops " + s
			}
		case rule == "conf-files-incomplete" && e.Exit == ExitNetwork && !l.lenient().ListensTLS():
			found.Severity = finding.Warning
			found.Message += ", as soon as it listens for TLS"
		}
	}
}

func (l *linter) pathOfWrongType(wrong map[string]bool) bool {
	return wrong["ca_file"] || wrong["cert_file"] || wrong["key_file"] || wrong["cert_files"] || wrong["key_files"]
}

// lenient reads what can be read and takes defaults for the rest.
func (l *linter) lenient() *Daemon {
	if l.loaded == nil {
		l.loaded = defaultDaemon(l.f, l.k, l.o.Run)
		for _, s := range Settings(l.k, l.o.Run.Libvirt) {
			_ = l.loaded.read(s.Key) // reported elsewhere
		}
	}
	return l.loaded
}

// protective are the settings whose loss opens the door.
var protective = []string{"tls_allowed_dn_list", "sasl_allowed_username_list", "access_drivers", "auth_unix_rw", "auth_unix_ro",
	"auth_tcp", "auth_tls", "ca_file", "cert_file", "key_file", "crl_file", "listen_tcp", "listen_tls", "listen_addr", "tcp_min_ssf",
	"tls_priority", "unix_sock_group", "unix_sock_rw_perms", "unix_sock_ro_perms", "unix_sock_admin_perms",
	"default_tls_x509_verify", "vnc_tls", "vnc_tls_x509_verify", "chardev_tls_x509_verify", "migrate_tls_x509_verify",
	"backup_tls_x509_verify", "migrate_tls_force", "tls_no_verify_certificate"}

// keys reports settings that count for nothing because of their name or place.
func (l *linter) keys() {
	if l.k != Other {
		names := newNames(l.k, l.o.Run.Libvirt)
		for e := range l.f.Entries() {
			if !e.Shadowed { // what is said of the first holds for all
				l.key(e, names)
			}
		}
	}
	for e := range l.f.Entries() {
		first, _ := l.f.Lookup(e.Key)
		if e.Value.Overflow && !e.Shadowed {
			l.add("conf-number-overflow", e.Line, "the number of %s wraps round: libvirt %s takes it for %d", e.Key, l.o.Run.Libvirt, e.Value.Int)
		}
		if !e.Shadowed {
			continue
		}
		found := l.add("conf-duplicate-key", e.Line, "%s stands in line %d already; this line is ignored", e.Key, first.Line)
		if l.f.text[e.Value.Start:e.Value.End] == l.f.text[first.Value.Start:first.Value.End] {
			found.Severity = finding.Note
		}
		found.Remedy = fmt.Sprintf("remove line %d or line %d", first.Line, e.Line)
	}
}

// names are the keys of all programs, as the one program sees them.
type names struct {
	own        map[string]Setting
	elsewhere  map[string]Kind
	candidates []Setting
}

func newNames(k Kind, r Release) names {
	n := names{own: map[string]Setting{}, elsewhere: map[string]Kind{}, candidates: Settings(k, r)}
	if k == Driver { // a misspelt key of TLS is one all the same
		n.candidates = Settings(Libvirtd, r)
	}
	newest := Release{1 << 15, 0}
	for _, other := range []Kind{QEMU, Client, Libvirtd} {
		for _, s := range Settings(other, newest) {
			if s.Unread == "" {
				n.elsewhere[s.Key] = other
			}
		}
	}
	// A modular daemon knows all the keys of libvirtd.conf and does not read all.
	if k == Driver {
		k = Libvirtd
	}
	for _, s := range Settings(k, newest) {
		n.own[s.Key] = s
	}
	return n
}

func (l *linter) key(e Entry, n names) {
	s, ok := n.own[e.Key]
	switch {
	case ok && s.Unread != "":
		l.add("conf-setting-gone", e.Line, "%s has no effect: %s", e.Key, s.Unread)
		return
	case ok && s.remote && l.k == Driver:
		l.add("conf-setting-elsewhere", e.Line, "%s has no effect here: only libvirtd and virtproxyd have remote access", e.Key)
		return
	case ok && !l.o.Run.Libvirt.AtLeast(s.Since):
		found := l.add("conf-setting-newer", e.Line, "%s is read by libvirt %s and later, not by %s", e.Key, s.Since, l.o.Run.Libvirt)
		found.Until = s.Since.String()
		return
	case ok:
		return
	}
	// The name as it stands, in another program's file, is nearer than any that is like it.
	if other, ok := n.elsewhere[e.Key]; ok {
		l.add("conf-setting-elsewhere", e.Line, "%s has no effect here: it belongs to the file of the %s", e.Key, other)
		return
	}
	l.strangers++
	if meant := l.meant(e.Key, n.candidates); meant != "" {
		found := l.add("conf-misspelt-key", e.Line, "%s is no setting of libvirt and is ignored; %s is probably meant", e.Key, meant)
		found.Remedy = fmt.Sprintf("write %s", meant)
		if !slices.Contains(protective, meant) {
			found.Severity = finding.Warning
		}
		return
	}
	l.add("conf-unknown-key", e.Line, "%s is no setting of libvirt and is ignored", e.Key)
}

// remoteKeys are the settings by which one sees that TLS is meant to be used.
var remoteKeys = []string{"tls_allowed_dn_list", "ca_file", "cert_file", "key_file", "cert_files", "key_files", "crl_file",
	"tls_port", "tls_priority", "auth_tls"}

// daemon reports what is dangerous or without effect in a daemon's file.
func (l *linter) daemon() {
	d := l.lenient()
	remote := l.k != Driver
	if remote {
		l.listening(d)
		l.credentials(d)
		l.admission(d)
	}
	if d.SASLAllowedUsernameList != nil && len(d.SASLAllowedUsernameList) == 0 {
		l.add("conf-list-empty", l.line("sasl_allowed_username_list"), "sasl_allowed_username_list is empty: no SASL user may connect")
	}
	if d.AuthUnixRW == AuthNone && !d.Run.Session {
		switch {
		case d.Run.SocketActivated && l.has("auth_unix_rw"):
			found := l.add("conf-socket-open", l.line("auth_unix_rw"),
				"auth_unix_rw is none, and the .socket unit has SocketMode=0666 unless it is changed: every local user is root")
			found.Severity = finding.Warning
			found.Remedy = "set SocketMode=0660 and SocketGroup= in the .socket unit"
		case !d.Run.SocketActivated && Mode(d.UnixSockRWPerms)&0o002 != 0:
			l.add("conf-socket-open", l.line("auth_unix_rw"),
				"auth_unix_rw is none and the read-write socket has mode %s: every local user is root", d.UnixSockRWPerms)
		}
	}
}

func (l *linter) listening(d *Daemon) {
	if d.Run.SocketActivated {
		for _, s := range Settings(l.k, d.Run.Libvirt) {
			if why := d.unused(s.Key); strings.HasPrefix(why, "systemd") && l.has(s.Key) {
				l.add("conf-listen-activated", l.line(s.Key), "%s is ignored: %s", s.Key, why)
			}
		}
	}
	if l.k == Libvirtd && (!d.Run.Listen || l.o.ListenUnknown) && !d.Run.SocketActivated {
		for _, key := range []string{"listen_tls", "listen_tcp"} {
			if on, ok, err := l.f.Bool(key); on && ok && err == nil {
				l.add("conf-listen-argument", l.line(key), "%s = 1 does nothing without --listen", key)
			}
		}
	}
	if l.k == Virtproxyd && !d.Run.SocketActivated && !l.has("listen_tls") && slices.ContainsFunc(remoteKeys, l.has) {
		key := remoteKeys[slices.IndexFunc(remoteKeys, l.has)]
		l.add("conf-proxy-listen", l.line(key), "%s is set, but virtproxyd does not listen for TLS unless listen_tls = 1 is there", key)
	}
	switch {
	case d.AuthTCP != AuthNone:
	case d.Run.SocketActivated && d.Run.TCPSocket:
		l.add("conf-tcp-open", l.line("auth_tcp"), "auth_tcp is none, and systemd passes a -tcp.socket: whoever reaches its port has this host")
	case d.ListenTCP && !d.Run.SocketActivated:
		found := l.add("conf-tcp-open", l.line("auth_tcp"), "listen_tcp is 1 and auth_tcp none: whoever reaches port %s has this host", d.TCPPort)
		if !d.ListensTCP() {
			found.Severity = finding.Warning
			found.Message += ", as soon as libvirtd runs with --listen"
		}
	}
	for _, key := range []string{"tls_port", "tcp_port"} {
		port, ok, err := l.f.String(key)
		if !ok || err != nil {
			continue
		}
		switch n, err := strconv.ParseUint(port, 10, 32); {
		case port == "":
			l.add("conf-port", l.line(key), "%s is empty: the port is one by chance", key)
		case err == nil && n > 65535:
			l.add("conf-port", l.line(key), "%s is %s: the port wraps round to %d", key, port, n%65536)
		case err == nil && n == 0:
			l.add("conf-port", l.line(key), "%s is 0: the port is one by chance", key)
		}
	}
}

// hyphenated are the file names of libvirt's sample, which are not the default ones.
var hyphenated = regexp.MustCompile(`^(server|client)(cert|key)-[0-9]+\.pem$`)

func (l *linter) credentials(d *Daemon) {
	several := d.Run.Libvirt.AtLeast(multipleIdentity)
	files, err := d.TLSFiles()
	if d.CRLFile != nil && err == nil && files.Default {
		l.add("conf-crl-alone", l.line("crl_file"), "crl_file is ignored: ca_file, cert_file and key_file are not set")
	}
	if err == nil && !files.Default {
		if !files.HasCRL {
			l.add("conf-crl-none", l.line("ca_file"), "no crl_file is set, and the default /etc/pki/CA/cacrl.pem is not loaded with files of one's own")
		}
		if !defaultFiles(files) {
			l.add("conf-reload-default-paths", l.line("ca_file"), "virt-admin server-update-tls loads the default paths, not %s", files.CA)
		}
	}
	for _, key := range []string{"ca_file", "cert_file", "key_file", "crl_file"} {
		path, ok, err := l.f.String(key)
		if !ok || err != nil || path != "" || key == "crl_file" && (files.Default || !several) {
			continue
		}
		found := l.add("conf-empty-path", l.line(key), "%s is empty, which is not the same as no %s", key, key)
		if several {
			found.Effect = finding.RefusesToStart
		}
	}
	for key, list := range map[string][]string{"cert_files": d.CertFiles, "key_files": d.KeyFiles} {
		for _, p := range list {
			if hyphenated.MatchString(path.Base(p)) {
				l.add("conf-identity-names", l.line(key), "%s is not a name that is looked for by default; that would be %s", path.Base(p),
					strings.Replace(path.Base(p), "-", "", 1))
				break
			}
		}
	}
}

// defaultFiles reports whether the files configured are the default ones.
func defaultFiles(t TLSFiles) bool {
	return t.CA == "/etc/pki/CA/cacert.pem" && len(t.Certs) == 1 && t.Certs[0] == "/etc/pki/libvirt/servercert.pem" &&
		len(t.Keys) == 1 && t.Keys[0] == "/etc/pki/libvirt/private/serverkey.pem"
}

// admission reports who may connect over TLS.
func (l *linter) admission(d *Daemon) {
	if d.TLSNoVerifyCertificate {
		l.add("conf-verify-off", l.line("tls_no_verify_certificate"),
			"tls_no_verify_certificate = 1: everybody is let in, with any certificate or none")
		if d.TLSAllowedDNList != nil {
			l.add("conf-dn-list-off", l.line("tls_allowed_dn_list"), "tls_allowed_dn_list is not looked at: tls_no_verify_certificate is 1")
		}
	}
	if d.TLSNoSanityCertificate {
		l.add("conf-sanity-off", l.line("tls_no_sanity_certificate"), "the daemon does not check its own certificates")
	}
	switch {
	case d.TLSAllowedDNList == nil:
		on, _, _ := l.f.Bool("listen_tls")
		wanted := d.ListensTLS() || on || slices.ContainsFunc(remoteKeys, l.has) && (l.k == Virtproxyd || d.ListenTLS)
		if wanted && d.AuthTLS == AuthNone && !d.TLSNoVerifyCertificate && !l.has("tls_allowed_dn_list") {
			l.add("conf-dn-list-missing", l.line("listen_tls"), "no tls_allowed_dn_list and auth_tls none: every certificate of the CA has full access")
		}
	case len(d.TLSAllowedDNList) == 0:
		l.add("conf-list-empty", l.line("tls_allowed_dn_list"), "tls_allowed_dn_list is empty: no client may connect")
	default:
		e, _ := l.f.Lookup("tls_allowed_dn_list")
		for i := range e.Value.Items() {
			l.pattern(i.Text, i.Line)
		}
	}
}

// priorities judges every priority string of the file.
func (l *linter) priorities() {
	for _, s := range Settings(l.k, l.o.Run.Libvirt) {
		if s.Key != "tls_priority" && !strings.HasSuffix(s.Key, "_tls_priority") {
			continue
		}
		text, ok, err := l.f.String(s.Key)
		if !ok || err != nil {
			continue
		}
		if strings.HasPrefix(text, "@") && l.o.GnuTLS.System == nil {
			l.add("conf-priority-system", l.line(s.Key), "%s is %q, whose meaning is in the GnuTLS configuration of the machine", s.Key, text)
			continue
		}
		x, err := priority.Expand(text, l.o.GnuTLS)
		if err == nil && x.SetError != nil {
			err = x.SetError
		}
		if err == nil {
			continue
		}
		found := l.add("conf-priority", l.line(s.Key), "%v", err)
		var e *priority.Error
		if errors.As(err, &e) {
			found.LibvirtMessage = e.LibvirtMessage()
			if h := e.Hints(); len(h) > 0 {
				found.Remedy = h[0]
			}
		}
	}
}

// qemu reports what is dangerous in qemu.conf.
func (l *linter) qemu() {
	c, err := ReadQEMU(l.f, l.o.Run.Libvirt, nil)
	if err != nil {
		return
	}
	for _, s := range c.Services {
		key := s.Name + "_tls_x509_verify"
		if s.Verify || s.Name == "spice" || s.Name == "rdp" || s.Name == "nbd" {
			continue
		}
		switch {
		case l.has(key):
			l.add("conf-qemu-verify-off", l.line(key), "%s = 0: %s accepts clients without a certificate", key, s.Name)
		case l.has("default_tls_x509_verify"):
			if s.Name != "vnc" || s.Enabled {
				l.add("conf-qemu-verify-off", l.line("default_tls_x509_verify"), "default_tls_x509_verify = 0: %s accepts clients without a certificate", s.Name)
			}
		case s.Enabled:
			l.add("conf-qemu-verify-off", l.line(s.Name+"_tls"), "%s_tls is 1 and %s is 0 by default: %s accepts clients without a certificate",
				s.Name, key, s.Name)
		}
	}
}
