package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A migrationView is what preflight --hosts says of live migrations with QEMU's own TLS.
type migrationView struct {
	Cells    []migrationCell `json:"cells"`
	Troubles []matrixTrouble `json:"troubles"`
	// Without are the hosts with the qemu driver that have no files for it.
	Without []string `json:"without,omitempty"`

	g        *preflight.Migrations
	troubles []preflight.Trouble
}

// A migrationCell is one direction: the source's QEMU connects to the destination's.
type migrationCell struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// TLSHostname is the name that the source finds in the destination's certificate, or not; Verify says whether the
	// destination asks for a certificate.
	TLSHostname string `json:"tls_hostname"`
	Verify      bool   `json:"verify"`
	// Outcome is connected, daemon-down (the destination's QEMU makes no TLS object), client-local (the source's does not),
	// client-rejects-server, server-rejects-client or handshake-fails; null where a file could not be read.
	Outcome            *string  `json:"outcome"`
	Cause              *string  `json:"cause"`
	SourceMessage      *string  `json:"source_message"`
	DestinationMessage *string  `json:"destination_message"`
	Proven             bool     `json:"proven"`
	Unchecked          []string `json:"unchecked,omitempty"`
}

// migrations makes the view.
func (v *matrixView) migrations(g *preflight.Migrations) {
	w := &migrationView{Cells: []migrationCell{}, Troubles: []matrixTrouble{}, Without: namesOf(g.Matrix, g.Without), g: g, troubles: g.Troubles()}
	for i, fs := range g.Services {
		for _, f := range fs {
			if f.Subject = g.Hosts[i].Name + ":" + f.Subject; !contains(v.Findings, f) {
				v.Findings = append(v.Findings, f)
			}
		}
	}
	if len(g.Cells) == 0 {
		return // nobody, or one host alone
	}
	told := map[string]bool{}
	for _, c := range g.Cells {
		w.Cells = append(w.Cells, migrationCell{Source: g.Hosts[c.Client].Name, Destination: g.Hosts[c.Server].Name, TLSHostname: g.Names[c.Server],
			Verify: g.Verify[c.Server], Outcome: optional(string(c.Outcome)), Cause: optional(c.Cause.Rule), SourceMessage: optional(c.LibvirtMessage),
			DestinationMessage: optional(c.DaemonMessage), Proven: c.Proven, Unchecked: c.Unchecked})
		for _, u := range c.Unchecked {
			if !told[u] {
				told[u] = true
				v.Unchecked = append(v.Unchecked, "migration: "+u)
			}
		}
	}
	for _, t := range w.troubles {
		w.Troubles = append(w.Troubles, v.trouble(g.Matrix, t))
	}
	v.Migration = w
}

// printMigrations prints what fails, and a line that sums up.
func (p *program) printMigrations(w *migrationView, marks int, paint painter) {
	if w == nil {
		return
	}
	out := p.stdout
	for i, t := range w.troubles {
		printTrouble(out, w.g.Matrix, trouble(marks+i), t, migrationWords, paint)
	}
	if len(w.troubles) > 0 {
		fmt.Fprintln(out)
	}
	works, proven, unjudged := 0, 0, 0
	for _, c := range w.g.Cells {
		switch {
		case c.Outcome == "":
			unjudged++
		case c.Outcome != finding.Connected:
		case c.Proven:
			works++
			proven++
		default:
			works++
		}
	}
	fmt.Fprintf(out, "migration with QEMU's TLS: %d of %s would work (%d proven, %d judged)", works, plural(len(w.g.Cells), "direction"), proven, works-proven)
	if unjudged > 0 {
		fmt.Fprintf(out, ", %d not judged", unjudged)
	}
	if len(w.g.Without) > 0 {
		fmt.Fprintf(out, "; no files for it: %s", visible(some(w.g.Matrix, w.g.Without, false)))
	}
	fmt.Fprintln(out)
}

// troubleWords are how the two ends of a connection that fails are called.
type troubleWords struct{ client, clientPrefix, server string }

var (
	connectionWords = troubleWords{"virsh says", "error: ", "daemon logs"}
	migrationWords  = troubleWords{"source says", "", "target says"}
)

// said prints what the two ends say.
func (s troubleWords) said(c preflight.Cell, line func(label, text string)) {
	if c.LibvirtMessage != "" {
		line(s.client, s.clientPrefix+c.LibvirtMessage)
	}
	line(s.server, c.DaemonMessage)
}

// qemuOf describes the QEMU of a host: the version of --qemu, of its packages, or that which Debian has beside its libvirt.
func qemuOf(c *cli.Context, h *bundle.Host, own *host, libvirt verify.Version) (*preflight.QEMU, error) {
	q := &preflight.QEMU{Hostname: h.Name}
	if h.Manifest != nil && h.Manifest.Hostname != "" {
		q.Hostname = h.Manifest.Hostname
	}
	switch text := c.String("qemu"); {
	case text != "":
		v, err := verify.ParseQEMUVersion(text)
		if err != nil {
			return nil, invalid("--qemu", text, err)
		}
		q.Version = v
		return q, nil
	case libvirt.AtLeast(12, 0):
		q.Version = verify.QEMU11_1
	case libvirt.AtLeast(11, 0):
		q.Version = verify.QEMU10_0
	default:
		q.Version = verify.QEMU7_2
	}
	if status, err := own.tree.ReadFile("/var/lib/dpkg/status"); err == nil {
		for _, name := range []string{"qemu-system-x86", "qemu-system-arm", "qemu-system-common", "qemu-utils"} {
			if v, err := verify.ParseQEMUVersion(debianVersion(string(status), name)); err == nil {
				q.Version = v
				break
			}
		}
	}
	return q, nil
}
