package unit

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// Findings says what is wrong with how a daemon is run. shown gives the name by which a file of the machine is called here,
// in subjects; nil: its own. Of the other daemon only that there are two is said.
func (s *Survey) Findings(d *Daemon, shown func(path string) string) []finding.Finding {
	if d == nil {
		return nil
	}
	if shown == nil {
		shown = func(path string) string { return path }
	}
	j := &judge{s: s, d: d, shown: shown}
	j.both()
	j.start()
	j.sockets()
	j.rest()
	for i := range j.found {
		j.found[i].Remedy = s.Systemctl(j.found[i].Remedy)
	}
	return j.found
}

// A judge collects the findings about one daemon.
type judge struct {
	s     *Survey
	d     *Daemon
	shown func(string) string
	found []finding.Finding
}

func (j *judge) add(rule, subject, remedy, format string, args ...any) *finding.Finding {
	f := ruleByID(rule).Finding(subject, fmt.Sprintf(format, args...))
	if remedy != "" {
		f.Remedy = remedy
	}
	j.found = append(j.found, f)
	return &j.found[len(j.found)-1]
}

func (j *judge) at(file string, line int) string { return fmt.Sprintf("%s:%d", j.shown(file), line) }

// place is where a unit is, for a subject.
func (j *judge) place(u Unit) string {
	if u.File != nil && u.File.Path != "" {
		return j.shown(u.File.Path)
	}
	return u.Name
}

// both reports two daemons where one is to be.
func (j *judge) both() {
	var up []*Daemon
	for _, d := range j.s.Daemons {
		if d.Boots() {
			up = append(up, d)
		}
	}
	if len(up) < 2 {
		return
	}
	other := up[0]
	if other == j.d {
		other = up[1]
	}
	var names []string
	for _, s := range other.Sockets {
		names = append(names, s.Name)
	}
	j.add("two-daemons", j.place(other.Service), fmt.Sprintf("keep one of them, for %s: systemctl disable --now %s %s", j.d.Name,
		other.Service.Name, strings.Join(names, " ")),
		"%s and %s are both started, and both serve /run/libvirt/libvirt-sock and port 16514", up[0].Name, up[1].Name)
}

// start reports what keeps the daemon from starting; the first counts.
func (j *judge) start() {
	d := j.d
	var ce *CommandError
	var ae *ArgumentError
	switch {
	case d.Service.State.Off():
		j.add("daemon-masked", j.place(d.Service), "systemctl unmask "+d.Service.Name, "%s is masked: nothing starts %s", d.Service.Name, d.Name)
	case d.Blocked != "" && !d.Service.Up():
		j.add("service-cannot-start", j.place(d.Service), fmt.Sprintf("systemctl unmask %s; systemctl start %s", d.Blocked, d.Service.Name),
			"systemd does not start %s: it requires %s, which %s", d.Service.Name, d.Blocked, j.why(d.Blocked))
	case d.Service.Skipped != nil && !d.Service.Up():
		j.unmet("unit-condition-fails", d.Service, finding.RefusesToStart)
	case d.Service.Err != nil:
		j.add("service-cannot-start", d.Service.Name, "", "the unit cannot be read: %s", d.Service.Err)
	case errors.As(d.CommandErr, &ce):
		remedy := ""
		switch {
		case len(ce.More) > 1:
			remedy = fmt.Sprintf("write an empty ExecStart= before the one at %s:%d; systemctl daemon-reload", ce.File, ce.Line)
		case ce.Missing != "":
			remedy = fmt.Sprintf("make %s, or write EnvironmentFile=-%s; systemctl daemon-reload", ce.Missing, ce.Missing)
		}
		text := ce.Text
		if ce.Err != nil && ce.Missing == "" {
			text += ": " + ce.Err.Error()
		}
		j.add("service-cannot-start", j.at(ce.File, ce.Line), remedy, "systemd does not start %s: %s", d.Service.Name, text)
	case errors.As(d.ArgumentErr, &ae):
		file, line := d.Command.Origin(ae.Word)
		remedy := fmt.Sprintf("take %s out of %s:%d; systemctl restart %s", ae.Word, file, line, d.Service.Name)
		if d.Name == "virtproxyd" && strings.HasPrefix("--listen", ae.Word) && len(ae.Word) > 2 {
			remedy = fmt.Sprintf("take %s out of %s:%d, virtproxyd has no such option; systemctl enable --now virtproxyd-tls.socket", ae.Word, file, line)
		}
		f := j.add("daemon-arguments", j.at(file, line), remedy, "%s ends with exit status 1 because of its arguments: %s", d.Name, ae.Text)
		f.LibvirtMessage = ae.Text
	case d.Arguments.Listen && len(d.Passed()) > 0:
		file, line := d.Command.Origin(d.Arguments.Word)
		var passed []string
		for _, s := range d.Passed() {
			passed = append(passed, s.Name)
		}
		f := j.add("listen-with-sockets", j.at(file, line), fmt.Sprintf("take %s out of %s:%d, then: %s; or keep it, and: systemctl mask --now %s",
			d.Arguments.Word, file, line, j.startTLS(), strings.Join(j.ownSockets(), " ")),
			"%s gets %s, and is passed %s: it refuses both together", d.Name, d.Arguments.Word, strings.Join(passed, ", "))
		f.LibvirtMessage = msgListen
	case len(d.Strange()) > 0:
		x := d.Strange()[0]
		f := j.add("socket-name-unknown", j.place(x.Unit), fmt.Sprintf("put its ListenStream= into a drop-in of %s-tls.socket, and: systemctl disable --now %s",
			d.Name, x.Name), "%s is passed a socket named %q, which it does not know, and ends", d.Name, x.Descriptor)
		if slices.Contains(j.ownSockets(), x.Name) {
			e, _ := x.File.Last("Socket", "FileDescriptorName")
			f.Subject, f.Remedy = j.at(e.File, e.Line), fmt.Sprintf("take FileDescriptorName= out of %s:%d; systemctl daemon-reload", e.File, e.Line)
		}
		f.LibvirtMessage = msgUnclaimed
	}
	if j.s.Session && !j.s.Lingers && d.Boots() {
		j.add("user-does-not-linger", j.place(d.Service), "", "the daemon is run by a user's systemd, which runs only while that user is logged in")
	}
	if !d.Boots() && !d.Service.State.Off() {
		f := j.add("daemon-not-started", j.place(d.Service), j.enable(), "nothing starts %s: neither %s nor one of its sockets is enabled", d.Name, d.Service.Name)
		if d.Service.Up() {
			f.Severity, f.Message = finding.Warning, f.Message+"; it runs now, until the next boot"
		}
	}
}

// why says what keeps a socket unit from being started.
func (j *judge) why(name string) string {
	for _, s := range j.d.Sockets {
		if s.Name == name && s.Skipped != nil {
			return "is left out because of " + s.Skipped.String()
		}
	}
	return "is masked or not there"
}

// unmet reports a condition that fails.
func (j *judge) unmet(rule string, u Unit, effect finding.Effect) {
	c := u.Skipped
	what := "systemd leaves %s out, without an error: %s does not hold"
	if c.Assert() {
		what = "systemd does not start %s: %s does not hold"
	}
	f := j.add(rule, j.at(c.File, c.Line), fmt.Sprintf("see to it that it holds, or take it back with %s= in a drop-in: systemctl edit %s", c.Key, u.Name), what, u.Name, c)
	f.Effect = effect
}

// ownSockets lists the socket units of the daemon that are there, those of others left out.
func (j *judge) ownSockets() []string {
	var out []string
	for _, suffix := range socketSuffixes {
		if j.d.Socket(suffix) != nil {
			out = append(out, j.d.Name+suffix+".socket")
		}
	}
	return out
}

// startTLS gives the commands that switch the -tls.socket on, whatever runs.
func (j *judge) startTLS() string { return StartTLS(j.d.Name) }

// enable gives the command that has the daemon started.
func (j *judge) enable() string {
	if x := j.d.Socket("-tls"); x != nil && !x.State.Off() {
		return j.startTLS()
	}
	return "systemctl enable --now " + j.d.Service.Name
}

// StartTLS gives the commands that let a daemon listen for TLS on the socket of systemd, whether it runs or not: the service
// has to be stopped, because a running one cannot be given a socket.
func StartTLS(daemon string) string {
	return fmt.Sprintf("systemctl stop %[1]s.service; systemctl enable --now %[1]s-tls.socket; systemctl start %[1]s.service", daemon)
}

// sockets judges the -tls and -tcp sockets.
func (j *judge) sockets() {
	d := j.d
	for _, suffix := range []string{"-tls", "-tcp"} {
		s := d.Socket(suffix)
		if s == nil {
			continue
		}
		on := s.Boots() || s.Up()
		switch {
		case on && s.Skipped != nil && !s.Up():
			j.unmet("socket-condition-fails", s.Unit, finding.NoEffect)
		case s.Running != nil && s.Running.Skipped && s.Boots():
			j.add("socket-condition-fails", j.place(s.Unit), "", "systemd has left %s out: one of its conditions did not hold when it was started", s.Name)
		case on && s.Blocked != "" && !s.Up():
			remedy := fmt.Sprintf("systemctl unmask %s; systemctl enable --now %s", s.Blocked, s.Name)
			if o := j.d.Socket(strings.TrimSuffix(strings.TrimPrefix(s.Blocked, d.Name), ".socket")); o != nil && o.Skipped != nil {
				remedy = fmt.Sprintf("see to it that it holds, or take it back with %s= in a drop-in: systemctl edit %s", o.Skipped.Key, o.Name)
			}
			j.add("socket-needs-masked", j.place(s.Unit), remedy, "%s is enabled, and cannot start: it needs %s, which %s", s.Name, s.Blocked, j.why(s.Blocked))
		case s.Boots() && s.Running != nil && !s.Up():
			state := s.Running.Active
			remedy := fmt.Sprintf("systemctl start %s", s.Name)
			why := ""
			if d.Service.Up() {
				remedy = fmt.Sprintf("systemctl stop %[1]s; systemctl start %[2]s; systemctl start %[1]s", d.Service.Name, s.Name)
				why = ": systemd does not start it while " + d.Service.Name + " runs"
			}
			j.add("socket-not-started", j.place(s.Unit), remedy, "%s is enabled, but %s%s", s.Name, state, why)
		case s.Up() && !s.Boots():
			j.add("socket-not-enabled", j.place(s.Unit), "systemctl enable "+s.Name, "%s runs, but is %s: after the next boot nothing listens", s.Name, s.State)
		}
		if s.ByPreset {
			j.add("enabled-at-first-boot", j.place(s.Unit), fmt.Sprintf("write \"disable %s\" into /etc/systemd/system-preset/10-libvirt.preset, if nobody is to come in there", s.Name),
				"the machine was never booted, and its first boot will enable %s: its preset says so, or no preset says otherwise", s.Name)
		}
		if on && len(s.Streams) > 1 {
			last := s.Streams[len(s.Streams)-1]
			var all []string
			for _, x := range s.Streams {
				all = append(all, x.Text)
			}
			if first := s.Streams[0]; first.File != last.File && path.Dir(last.File) != path.Dir(first.File) {
				j.add("socket-address-added", j.at(last.File, last.Line), "", "%s listens on %s: the drop-in adds to the unit's own address",
					s.Name, strings.Join(all, " and "))
			}
		}
	}
}

// rest reports what has no effect, and what ends later.
func (j *judge) rest() {
	d := j.d
	for _, a := range d.Unread {
		where := "the service takes no arguments from a file"
		if d.Command != nil && len(d.Command.Used) > 0 && len(d.Command.Files) > 0 {
			where = fmt.Sprintf("%s takes its arguments from %s of %s", d.Service.Name, d.Command.Used[0], strings.Join(d.Command.Files, ", "))
		}
		remedy := ""
		if d.Command != nil && len(d.Command.Used) > 0 && len(d.Command.Files) > 0 {
			remedy = fmt.Sprintf("write %s=%q into %s", d.Command.Used[0], a.Value, d.Command.Files[0])
		}
		j.add("arguments-unread", j.at(a.File, a.Line), remedy, "%s is not read: %s", a.Name, where)
	}
	if d.CommandErr == nil && d.ArgumentErr == nil && d.Command != nil && d.Arguments.Timeout > 0 && len(d.Passed()) == 0 {
		file, line := d.Command.Origin(d.Arguments.TimeoutWord)
		j.add("timeout-without-sockets", j.at(file, line), fmt.Sprintf("take --timeout out of %s:%d; systemctl restart %s", file, line, d.Service.Name),
			"%s ends after %d seconds without a client, and no socket of systemd starts it again", d.Name, d.Arguments.Timeout)
	}
	for _, u := range append([]Unit{d.Service}, unitsOf(d.Sockets)...) {
		if u.Running != nil && u.Running.NeedReload {
			j.add("reload-needed", j.place(u), "", "systemd has not read %s since it was changed", u.Name)
			break
		}
	}
	for _, p := range d.Problems {
		j.add("unit-line-ignored", j.at(p.File, p.Line), "", "systemd ignores the line: %s", p.Text)
	}
}

func unitsOf(s []*Socket) []Unit {
	var out []Unit
	for _, x := range s {
		out = append(out, x.Unit)
	}
	return out
}
