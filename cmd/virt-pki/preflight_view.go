package main

import (
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/unit"
)

// A preflightView is the answer of preflight.
type preflightView struct {
	Schema      int                `json:"schema"`
	Daemon      preflightDaemon    `json:"daemon"`
	Connections []preflightAttempt `json:"connections"`
	Findings    []finding.Finding  `json:"findings"`
	Unchecked   []string           `json:"unchecked,omitempty"`
	// Versions say what comes out differently with the further versions of --libvirt.
	Versions []preflightOther `json:"versions,omitempty"`
	tally    map[finding.Outcome]int
}

// A preflightOther is the answer for another version: its daemon, and the connections that differ from the first one's.
type preflightOther struct {
	Libvirt     string             `json:"libvirt"`
	Daemon      preflightDaemon    `json:"daemon"`
	Connections []preflightAttempt `json:"connections"`
	same        bool
}

// A preflightRun says how systemd runs the daemon.
type preflightRun struct {
	Unit  string `json:"unit"`
	State string `json:"state"`
	// Preset is what an installation makes of it.
	Preset    string            `json:"preset,omitempty"`
	Active    string            `json:"active,omitempty"`
	Arguments []string          `json:"arguments"`
	Sockets   []preflightSocket `json:"sockets"`
}

type preflightSocket struct {
	Unit   string   `json:"unit"`
	State  string   `json:"state"`
	Preset string   `json:"preset,omitempty"`
	Active string   `json:"active,omitempty"`
	Listen []string `json:"listen"`
	// Passed says that the daemon is given it when it starts.
	Passed bool `json:"passed"`
}

type preflightDaemon struct {
	Starts         bool    `json:"starts"`
	LibvirtMessage *string `json:"libvirt_message"`
	Cause          *string `json:"cause"`
	Remedy         string  `json:"remedy,omitempty"`
	Program        string  `json:"program"`
	Libvirt        string  `json:"libvirt"`
	Conf           string  `json:"conf"`
	Exit           int     `json:"exit,omitempty"`
	// Log are the lines it prints when it does not start.
	Log        []string `json:"log,omitempty"`
	ListensTLS bool     `json:"listens_tls"`
	ListensTCP bool     `json:"listens_tcp"`
	TLSPort    string   `json:"tls_port,omitempty"`
	// Run is there where units were read.
	Run *preflightRun `json:"run,omitempty"`
}

type preflightAttempt struct {
	URI            string          `json:"uri"`
	Outcome        finding.Outcome `json:"outcome"`
	Cause          *string         `json:"cause"`
	LibvirtMessage *string         `json:"libvirt_message"`
	DaemonMessage  *string         `json:"daemon_message"`
	Remedy         string          `json:"remedy,omitempty"`
	TLS            string          `json:"tls,omitempty"`
	Suite          string          `json:"suite,omitempty"`
	Group          string          `json:"group,omitempty"`
	Signature      string          `json:"signature,omitempty"`
	Engine         string          `json:"engine,omitempty"`
	Simulated      bool            `json:"simulated,omitempty"`
	// RFC5280 is what RFC 5280 says to the certificates that the two ends show each other.
	RFC5280   *opinions `json:"rfc5280,omitempty"`
	Unchecked []string  `json:"unchecked,omitempty"`

	findings []finding.Finding
}

// runOf describes how systemd runs the daemon.
func runOf(x *unit.Daemon) *preflightRun {
	r := &preflightRun{Unit: x.Service.Name, State: string(x.Service.State), Preset: string(x.Service.Preset), Sockets: []preflightSocket{}}
	if x.Service.Running != nil {
		r.Active = x.Service.Running.Active
	}
	if x.Command != nil {
		r.Arguments = append([]string{}, x.Command.Args...)
	}
	for _, s := range x.Sockets {
		k := preflightSocket{Unit: s.Name, State: string(s.State), Preset: string(s.Preset), Passed: s.Passed}
		if s.Running != nil {
			k.Active = s.Running.Active
		}
		for _, a := range s.Streams {
			k.Listen = append(k.Listen, a.Text)
		}
		r.Sockets = append(r.Sockets, k)
	}
	return r
}

// compare adds what comes out differently with another version.
func (v *preflightView) compare(o preflightView) {
	d := preflightOther{Libvirt: o.Daemon.Libvirt, Daemon: o.Daemon, Connections: []preflightAttempt{}}
	for i, a := range o.Connections {
		if w := v.Connections[i]; a.Outcome != w.Outcome || deref(a.Cause) != deref(w.Cause) || deref(a.LibvirtMessage) != deref(w.LibvirtMessage) ||
			deref(a.DaemonMessage) != deref(w.DaemonMessage) {
			d.Connections = append(d.Connections, a)
		}
	}
	d.same = o.Daemon.Starts == v.Daemon.Starts && deref(o.Daemon.Cause) == deref(v.Daemon.Cause) &&
		deref(o.Daemon.LibvirtMessage) == deref(v.Daemon.LibvirtMessage)
	v.Versions = append(v.Versions, d)
	seen := map[string]bool{}
	for _, f := range v.Findings {
		seen[caseOf(f)] = true
	}
	for _, f := range o.Findings {
		if !seen[caseOf(f)] {
			f.Evidence = mapWith(f.Evidence, "libvirt", d.Libvirt)
			v.Findings = append(v.Findings, f)
		}
	}
}

// gather puts all findings into one list, each once, consequences left out.
func (v *preflightView) gather(s *preflight.Server, around []finding.Finding) error {
	cat, err := catalogue()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	add := func(fs []finding.Finding) {
		for _, f := range cat.Root(fs) {
			k := caseOf(f)
			if strings.HasPrefix(f.Rule, "rfc5280-") && f.Rule != "rfc5280-accepts" {
				k = f.Rule + "\x00" + f.Message // a thousand clients may have a CA file of their own each
			}
			if !seen[k] {
				seen[k] = true
				v.Findings = append(v.Findings, f)
			}
		}
	}
	add(s.Findings)
	for _, a := range v.Connections {
		v.tally[a.Outcome]++
		// What is known of the daemon's own files may be the cause of what the client finds.
		add(append(s.Findings[:len(s.Findings):len(s.Findings)], a.findings...))
	}
	add(around)
	return nil
}
