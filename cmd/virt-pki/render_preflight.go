package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

func processors() int { return runtime.GOMAXPROCS(0) }

// junit gives the test cases of a JUnit report.
func (v preflightView) junit() []junitCase {
	cases := []junitCase{{class: "daemon", name: v.Daemon.Conf, ok: v.Daemon.Starts, kind: deref(v.Daemon.Cause),
		message: deref(v.Daemon.LibvirtMessage), text: v.Daemon.Remedy}}
	for _, a := range v.Connections {
		cases = append(cases, junitCase{class: "connection", name: a.URI, ok: a.Outcome == finding.Connected, kind: string(a.Outcome),
			message: deref(a.Cause) + ": " + a.why(), text: a.Remedy, unchecked: a.Unchecked})
	}
	return cases
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// causeOf gives the finding that is the cause, where there is one.
func causeOf(fs []finding.Finding, cause *string) (finding.Finding, bool) {
	for _, f := range fs {
		if cause != nil && f.Rule == *cause {
			return f, true
		}
	}
	return finding.Finding{}, false
}

// why is the sentence of the cause.
func (a preflightAttempt) why() string {
	f, _ := causeOf(a.findings, a.Cause)
	return f.Message
}

// session describes the TLS session in words.
func (a preflightAttempt) session() string {
	s := strings.Join(strings.Fields(a.TLS+" "+a.Suite+" "+a.Group), ", ")
	if version, ok := strings.CutPrefix(a.Engine, "gnutls "); ok {
		s += ", by GnuTLS " + version
	}
	return s
}

func (p *program) printPreflight(v preflightView, paint painter) {
	w := p.stdout
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(w, "    %-12s %s\n", label, visible(text))
		}
	}
	d := v.Daemon
	fmt.Fprintf(w, "%s of libvirt %s with %s: ", d.Program, d.Libvirt, visible(d.Conf))
	told := map[string]bool{}
	why := func(fs []finding.Finding, cause *string) {
		if f, ok := causeOf(fs, cause); ok {
			line("why", f.Message)
			told[caseOf(f)] = true
		}
	}
	if d.Starts {
		fmt.Fprintf(w, "%s, %s\n", paint.paint("32;1", "starts"), listens(d))
	} else {
		exit := fmt.Sprintf(" (exit status %d)", d.Exit)
		if d.Exit == 0 {
			exit = "" // it is not even run
		}
		fmt.Fprintf(w, "%s%s [%s]\n", paint.paint("31;1", "does not start"), exit, deref(d.Cause))
		why(v.Findings, d.Cause)
		for _, l := range d.Log {
			line("log", l)
		}
		line("cure", d.Remedy)
	}
	if d.Run != nil {
		line("run by", d.Run.text())
	}
	for _, a := range v.Connections {
		code := "31;1"
		if a.Outcome == finding.Connected {
			code = "32;1"
		}
		fmt.Fprintf(w, "%s: %s", visible(a.URI), paint.paint(code, string(a.Outcome)))
		switch {
		case a.Outcome == finding.Connected && len(a.Unchecked) > 0:
			fmt.Fprint(w, ", as far as can be told")
		case a.Outcome == finding.Connected && a.TLS != "":
			fmt.Fprintf(w, " (%s)", a.session())
		case a.Outcome != finding.Connected && a.Cause != nil:
			fmt.Fprintf(w, " [%s]", *a.Cause)
		}
		fmt.Fprintln(w)
		if a.Outcome != finding.Connected && a.Outcome != finding.DaemonDown {
			why(a.findings, a.Cause)
			if a.LibvirtMessage != nil {
				line("virsh says", "error: "+*a.LibvirtMessage)
			}
			line("daemon logs", deref(a.DaemonMessage))
			line("cure", a.Remedy)
		}
		for _, u := range a.Unchecked {
			line("not checked", u)
		}
	}
	for _, o := range v.Versions {
		p.printOther(o, paint)
	}
	var rest []finding.Finding
	for _, f := range v.Findings {
		if !told[caseOf(f)] {
			rest = append(rest, f)
		}
	}
	if len(rest) > 0 {
		fmt.Fprintln(w)
		p.printFindings(w, rest, paint)
	}
	for _, u := range v.Unchecked {
		fmt.Fprintf(w, "not checked: %s\n", visible(u))
	}
	if len(v.Connections) > 1 {
		t := tally{outcomes: v.tally}
		fmt.Fprintf(w, "%s\n", strings.Replace(t.text(len(v.Connections)), "connected", "would connect", 1))
	}
}

func listens(d preflightDaemon) string {
	switch {
	case d.ListensTLS && d.ListensTCP:
		return "listens for TLS on port " + d.TLSPort + " and for TCP"
	case d.ListensTLS:
		return "listens for TLS on port " + d.TLSPort
	case d.ListensTCP:
		return "listens for TCP without TLS"
	}
	return "listens for no remote connections"
}

// printOther says what comes out differently with another version.
func (p *program) printOther(o preflightOther, paint painter) {
	w := p.stdout
	switch {
	case o.same && len(o.Connections) == 0:
		fmt.Fprintf(w, "with libvirt %s: the same\n", o.Libvirt)
		return
	case o.Daemon.Starts:
		fmt.Fprintf(w, "with libvirt %s: %s, %s\n", o.Libvirt, paint.paint("32;1", "starts"), listens(o.Daemon))
	default:
		fmt.Fprintf(w, "with libvirt %s: %s [%s]\n", o.Libvirt, paint.paint("31;1", "does not start"), deref(o.Daemon.Cause))
		for _, l := range o.Daemon.Log {
			fmt.Fprintf(w, "    %-12s %s\n", "log", visible(l))
		}
	}
	for _, a := range o.Connections {
		cause := ""
		if a.Cause != nil {
			cause = " [" + *a.Cause + "]"
		}
		fmt.Fprintf(w, "    %s: %s%s\n", visible(a.URI), a.Outcome, cause)
		if a.LibvirtMessage != nil && a.Outcome != finding.DaemonDown {
			fmt.Fprintf(w, "        virsh says   error: %s\n", visible(*a.LibvirtMessage))
		}
	}
}

// text says how systemd runs the daemon, on one line.
func (r *preflightRun) text() string {
	var passed []string
	for _, s := range r.Sockets {
		if s.Passed {
			passed = append(passed, s.Unit)
		}
	}
	words := []string{r.Unit + ", " + r.State}
	if r.Active != "" {
		words[0] += ", " + r.Active
	}
	if len(r.Arguments) > 0 {
		words = append(words, "arguments "+strings.Join(r.Arguments, " "))
	}
	if len(passed) > 0 {
		words = append(words, "passed "+strings.Join(passed, ", "))
	}
	return strings.Join(words, "; ")
}
