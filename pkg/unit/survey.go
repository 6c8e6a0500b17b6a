package unit

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// remote are the daemons that can listen on the network, in libvirt's builds with IP support.
var remote = []string{"libvirtd", "virtproxyd"}

// socketSuffixes name the socket units of a daemon, the main one first. Names of file descriptors that are not among them the
// daemon refuses (virSystemdActivation*).
var socketSuffixes = []string{"", "-ro", "-admin", "-tcp", "-tls"}

// A Unit is one unit of a machine.
type Unit struct {
	Name string
	// File is what the files say; nil if there is none, or if it cannot be read: then Err says why.
	File  *File
	Err   error
	State State
	// WantedBy lists the units that pull it in by a link, vendor's links included.
	WantedBy []string
	// Preset is what an installation makes of it. ByPreset says that the machine's first boot is to come, and that the preset then
	// enables the unit, which it is not yet.
	Preset   Preset
	ByPreset bool
	// Skipped is the condition because of which systemd leaves it out, or the assert at which its start fails; nil: all hold.
	// Unjudged is one of which the tree does not say whether it holds.
	Skipped, Unjudged *Condition
	// Running is what systemd says now; nil where that is not known.
	Running *Running
}

// Found reports whether the machine has the unit.
func (u *Unit) Found() bool { return u.State != NotFound }

// Boots reports whether it is started by itself when the machine starts.
func (u *Unit) Boots() bool {
	return u.State.On() || len(u.WantedBy) > 0 && !u.State.Off() && u.Found()
}

// Up reports whether it is known to run now.
func (u *Unit) Up() bool { return u.Running != nil && u.Running.Up() }

// A Socket is a unit that passes a socket to a daemon.
type Socket struct {
	Unit
	// Streams are its addresses.
	Streams []Stream
	// Descriptor is the name under which the daemon gets it (FileDescriptorName=, else the unit's name).
	Descriptor string
	// Passed says that the daemon is given it when its service starts.
	Passed bool
	// Blocked names the unit that it needs and that cannot start.
	Blocked string
}

// A Daemon is libvirtd or virtproxyd, and how systemd runs it.
type Daemon struct {
	Name    string
	Service Unit
	// Sockets are its own, those that are not installed left out, and others that say they belong to its service.
	Sockets []*Socket
	// Command is what the service executes. CommandErr says why systemd does not start it; ArgumentErr why the daemon ends
	// because of its arguments.
	Command     *Command
	CommandErr  error
	Arguments   Arguments
	ArgumentErr error
	// Blocked names the socket unit that the service needs and that cannot start: then it does not, either.
	Blocked string
	// Unread are variables with arguments in a place where the service does not take them from.
	Unread []Assignment
	// Problems are lines of its units that systemd ignores.
	Problems []Problem
}

// A Survey says how the daemons with remote access are run on a machine. It does not change.
type Survey struct {
	// Daemons are those that are installed, libvirtd before virtproxyd.
	Daemons []*Daemon
	// Live says that what systemd says about the running state was known.
	Live bool
	// FirstBoot says that the machine was not booted yet, and that Daemons are as presets will leave them.
	FirstBoot bool
	// Session says that the units are a user's, Lingers that they run without a login of that user.
	Session, Lingers bool
}

// Systemctl gives a command of systemctl as it is to be typed for these units.
func (s *Survey) Systemctl(command string) string {
	if s.Session {
		return strings.ReplaceAll(command, "systemctl ", "systemctl --user ")
	}
	return command
}

// Survey looks at the daemons with remote access. running is what systemctl show says, nil where there is no systemd to be
// asked: then it is predicted what a boot comes to, the first one of an image included.
func (t *Tree) Survey(running []Running) *Survey {
	s := &Survey{Live: len(running) > 0, Session: t.user}
	if t.user {
		name := t.specifiers['u']
		s.Lingers = name != "" && t.Exists("/var/lib/systemd/linger/"+name)
	}
	now := t
	if s.FirstBoot = !s.Live && t.FirstBoot(); s.FirstBoot {
		t = t.AfterFirstBoot()
	}
	for _, name := range remote {
		d := t.daemon(name, running)
		if d == nil {
			continue
		}
		if s.FirstBoot {
			for _, u := range d.units() {
				u.ByPreset = u.State.On() && !now.State(u.Name).On()
			}
		}
		s.Daemons = append(s.Daemons, d)
	}
	return s
}

// units lists the daemon's own.
func (d *Daemon) units() []*Unit {
	out := []*Unit{&d.Service}
	for _, s := range d.Sockets {
		out = append(out, &s.Unit)
	}
	return out
}

// Unjudged lists the conditions on which it depends what is started, and that the tree does not tell.
func (d *Daemon) Unjudged() []*Condition {
	var out []*Condition
	for _, u := range d.units() {
		if u.Unjudged != nil && u.Skipped == nil && u.Running == nil && (u.Name == d.Service.Name || u.Boots()) {
			out = append(out, u.Unjudged)
		}
	}
	return out
}

// Daemon gives the daemon of that name; nil: it is not installed.
func (s *Survey) Daemon(name string) *Daemon {
	for _, d := range s.Daemons {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Remote gives the daemon that does TLS on the machine, or would if it were switched on: the one with a -tls.socket, else the
// one that runs, else the one that is started. nil: none is installed.
func (s *Survey) Remote() *Daemon {
	for _, is := range []func(*Daemon) bool{
		func(d *Daemon) bool { x := d.Socket("-tls"); return x != nil && x.Passed },
		func(d *Daemon) bool { return d.Service.Up() },
		func(d *Daemon) bool { x := d.Socket(""); return x != nil && x.Passed && d.Boots() },
		(*Daemon).Boots,
		func(d *Daemon) bool { return !d.Service.State.Off() },
		func(*Daemon) bool { return true },
	} {
		for _, d := range s.Daemons {
			if is(d) {
				return d
			}
		}
	}
	return nil
}

// unit describes a unit.
func (t *Tree) unit(name string, running []Running) Unit {
	u := Unit{Name: name, State: t.State(name)}
	u.Preset = t.presetAs(name, u.State)
	f, err := t.Load(name)
	switch {
	case err == nil:
		u.File = f
	case !errors.Is(err, fs.ErrNotExist) || u.State != NotFound:
		u.Err = err
	}
	if u.Found() && !u.State.Off() {
		u.WantedBy = t.WantedBy(name)
	}
	if u.File != nil {
		conditions, asserts, _ := u.File.Conditions()
		for _, all := range [][]Condition{conditions, asserts} {
			switch is, why := t.Met(all); {
			case is == Fails && u.Skipped == nil:
				u.Skipped = why
			case is == Unknown && u.Unjudged == nil:
				u.Unjudged = why
			}
		}
	}
	for i := range running {
		if running[i].Name == name {
			r := running[i]
			u.Running = &r
		}
	}
	return u
}

func (t *Tree) daemon(name string, running []Running) *Daemon {
	d := &Daemon{Name: name, Service: t.unit(name+".service", running)}
	if !d.Service.Found() {
		return nil
	}
	for _, n := range t.socketsOf(name) {
		s := &Socket{Unit: t.unit(n, running)}
		if !s.Found() {
			continue
		}
		s.Descriptor = s.Name
		if s.File != nil {
			if e, ok := s.File.Last("Socket", "FileDescriptorName"); ok && e.Value != "" {
				s.Descriptor = s.File.expand(e.Value)
			}
			var bad []Problem
			s.Streams, bad = streams(s.File)
			d.Problems = append(d.Problems, append(s.File.Problems, bad...)...)
		}
		d.Sockets = append(d.Sockets, s)
	}
	d.pass()
	for _, u := range d.units() {
		if u.File != nil {
			_, _, bad := u.File.Conditions()
			d.Problems = append(d.Problems, bad...)
		}
	}
	if f := d.Service.File; f != nil && !f.Masked {
		d.Problems = append(d.Problems, f.Problems...)
		if d.Command, d.CommandErr = t.Command(f); d.CommandErr == nil {
			d.Arguments, d.ArgumentErr = ParseArguments(name, d.Command.Program, d.Command.Args)
		}
		d.Unread = t.unread(d)
	}
	return d
}

// maxSockets bounds how many socket units one service has here: it could not hold the descriptors of more, as systemd gives it no more
// open files by default (DefaultLimitNOFILE=).
const maxSockets = 1024

// socketsOf lists the names of a daemon's own socket units, and of others in the search path that belong to its service.
func (t *Tree) socketsOf(name string) []string {
	var out []string
	for _, s := range socketSuffixes {
		out = append(out, name+s+".socket")
	}
	for _, n := range t.sockets() {
		f, err := t.Load(n)
		if slices.Contains(out, n) || err != nil || f.Masked || f.Name != n {
			continue
		}
		service := strings.TrimSuffix(n, ".socket") + ".service"
		if e, ok := f.Last("Socket", "Service"); ok && e.Value != "" {
			service = f.expand(e.Value)
		}
		if service == name+".service" && len(out) < maxSockets {
			out = append(out, n)
		}
	}
	return out
}

// sockets lists the socket units of the search path, with the instances of templates that something pulls in.
func (t *Tree) sockets() []string {
	var out []string
	seen := map[string]bool{}
	add := func(n string) {
		if path.Ext(n) == ".socket" && !isTemplate(n) && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	for _, dir := range t.dirs {
		for _, n := range t.names(dir.path) {
			if add(n); !isDependencyDir(n) {
				continue
			}
			for _, l := range t.names(dir.path + "/" + n) {
				if templateOf(l) != l {
					add(l)
				}
			}
		}
	}
	return out
}

// pass finds out which sockets systemd hands to the service when it starts: those that are up then. A unit that the service
// wants is started with it, enabled or not; one that needs a masked unit is not started at all.
func (d *Daemon) pass() {
	byName := map[string]*Socket{}
	for _, s := range d.Sockets {
		byName[s.Name] = s
	}
	wanted := map[string]bool{}
	want := func(f *File) {
		if f != nil {
			for _, key := range []string{"Wants", "Requires", "BindsTo"} {
				for _, n := range f.Names(key) {
					wanted[n] = true
				}
			}
		}
	}
	want(d.Service.File)
	for _, s := range d.Sockets {
		for _, w := range s.WantedBy {
			if w == d.Service.Name {
				wanted[s.Name] = true
			}
		}
	}
	usable := func(s *Socket) bool { return s.File != nil && !s.State.Off() && len(s.Streams) > 0 }
	canStart := func(s *Socket) bool { return usable(s) && s.Skipped == nil }
	needs := func(f *File) string {
		if f == nil {
			return ""
		}
		for _, key := range []string{"BindsTo", "Requires", "Requisite"} {
			for _, n := range f.Names(key) {
				o, own := byName[n]
				switch {
				case !own && strings.HasSuffix(n, ".socket") && strings.HasPrefix(n, d.Name), own && !usable(o):
					return n
				case own && o.Skipped != nil && !o.Up() && (key != "Requires" || o.Skipped.Assert()):
					return n // what is left out because of a condition is no failure for Requires=
				}
			}
		}
		return ""
	}
	d.Blocked = needs(d.Service.File)
	for changed := true; changed; {
		changed = false
		for _, s := range d.Sockets {
			if s.Passed || !canStart(s) {
				continue
			}
			s.Blocked = needs(s.File)
			starts := s.Running == nil && s.Boots() || wanted[s.Name]
			if s.Up() || s.Blocked == "" && starts {
				s.Passed, changed = true, true
				want(s.File)
			}
		}
	}
}

// Socket gives the daemon's own socket of a kind: "", "-ro", "-admin", "-tcp" or "-tls"; nil: it has none.
func (d *Daemon) Socket(suffix string) *Socket {
	for _, s := range d.Sockets {
		if s.Name == d.Name+suffix+".socket" {
			return s
		}
	}
	return nil
}

// Passed lists the sockets that the daemon is given when its service starts.
func (d *Daemon) Passed() []*Socket {
	var out []*Socket
	for _, s := range d.Sockets {
		if s.Passed {
			out = append(out, s)
		}
	}
	return out
}

// Boots reports whether something starts the daemon: its service, or a socket that waits for clients.
func (d *Daemon) Boots() bool {
	if d.Service.State.Off() {
		return false
	}
	if d.Service.Boots() {
		return true
	}
	for _, s := range d.Sockets {
		if s.Passed && (s.Boots() || s.Up()) {
			return true
		}
	}
	return false
}

// Takes lists the addresses of the passed sockets whose descriptor the daemon takes for that kind ("-tls", "-tcp").
func (d *Daemon) Takes(suffix string) []Stream {
	var out []Stream
	for _, s := range d.Passed() {
		if s.Descriptor == d.Name+suffix+".socket" {
			out = append(out, s.Streams...)
		}
	}
	return out
}

// Strange lists the passed sockets whose descriptor the daemon does not know; it ends because of them.
func (d *Daemon) Strange() []*Socket {
	var out []*Socket
	for _, s := range d.Passed() {
		known := false
		for _, suffix := range socketSuffixes {
			known = known || s.Descriptor == d.Name+suffix+".socket"
		}
		if !known {
			out = append(out, s)
		}
	}
	return out
}

// argumentFiles are where distributions have a daemon's arguments, argumentVariables what they call them: LIBVIRTD_ARGS in
// /etc/sysconfig (Fedora, SUSE) and, since Debian 12, in /etc/default; libvirtd_opts in older Debian; LIBVIRTD_OPTS with OpenRC.
func argumentFiles(daemon string) []string {
	return []string{"/etc/default/" + daemon, "/etc/sysconfig/" + daemon, "/etc/conf.d/" + daemon, "/etc/default/libvirt-bin"}
}

func argumentVariables(daemon string) []string {
	upper := strings.ToUpper(daemon)
	return []string{upper + "_ARGS", upper + "_OPTS", daemon + "_opts", daemon + "_args", "DAEMON_ARGS"}
}

// unread lists the variables that look like a daemon's arguments and are not taken in.
func (t *Tree) unread(d *Daemon) []Assignment {
	var out []Assignment
	for _, n := range argumentFiles(d.Name) {
		b, err := t.ReadFile(n)
		if err != nil {
			continue
		}
		last := map[string]Assignment{}
		for _, a := range ParseEnvironment(b, n) {
			last[a.Name] = a
		}
		for _, v := range argumentVariables(d.Name) {
			a, ok := last[v]
			if !ok || strings.Trim(a.Value, whitespace) == "" {
				continue
			}
			if d.Command != nil && slices.Contains(d.Command.Files, n) && slices.Contains(d.Command.Used, v) {
				continue
			}
			out = append(out, a)
		}
	}
	return out
}

// OpenRC reads a daemon's arguments where OpenRC has them, in /etc/conf.d, for machines without systemd. file is empty where
// that file is not there.
func (t *Tree) OpenRC(daemon string) (a Arguments, file string, err error) {
	file = "/etc/conf.d/" + daemon
	b, err := t.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return a, "", nil
	}
	if err != nil {
		return a, "", err
	}
	var args []string
	for _, v := range ParseEnvironment(b, file) {
		if v.Name == strings.ToUpper(daemon)+"_OPTS" {
			args = looseWords(v.Value)
		}
	}
	a, err = ParseArguments(daemon, "/usr/sbin/"+daemon, args)
	return a, file, err
}
