package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

func (p *program) priorityCommand() *cli.Command {
	return &cli.Command{
		Name:      "priority",
		Category:  "look",
		Usage:     "what a tls_priority string means: versions, suites, groups, what is weak",
		ArgsUsage: "STRING...",
		Description: `Expands GnuTLS priority strings exactly as GnuTLS does. With two strings it also says what a
client with the first and a server with the second agree on. "-" reads strings from standard
input, one a line. @KEYWORDs are looked up in GnuTLS's system file of this machine.

EXAMPLES
   virt-pki priority NORMAL
   virt-pki priority 'NORMAL:-VERS-TLS1.3' SECURE256
   virt-pki priority --gnutls 3.8 '@LIBVIRT,SYSTEM' --system-config crypto-policy.config

EXIT STATUS
   0 understood   1 GnuTLS refuses a string, two ends have nothing in common, or findings at or
   above --fail-on   2 wrong usage   3 could not complete`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "gnutls", Usage: "expand as GnuTLS `VERSION` does (3.7, 3.8, 3.8.9)", DefaultText: "3.7.9"},
			&cli.StringFlag{Name: "system-config", Usage: "GnuTLS's system `FILE` for @KEYWORDs and overrides"},
			failOnFlag(), jsonFlag(), quietFlag(), colorFlag(),
		},
		Action: p.priority,
	}
}

// A priorityView is the answer of priority.
type priorityView struct {
	Schema int             `json:"schema"`
	Items  []priority.Item `json:"items"`
	// Agreement is what a client with the first of two strings and a server with the second come to, with an RSA and with an
	// ECDSA certificate.
	Agreement []agreementView   `json:"agreement,omitempty"`
	Findings  []finding.Finding `json:"findings"`
}

type agreementView struct {
	Key     string `json:"key"` // of the server's certificate
	Version string `json:"version,omitempty"`
	Suite   string `json:"suite,omitempty"`
	Group   string `json:"group,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (p *program) priority(c *cli.Context) error {
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	o, err := p.priorityOptions(c)
	if err != nil {
		return err
	}
	texts, err := p.priorities(c.Args().Slice())
	if err != nil {
		return err
	}
	v := priorityView{Schema: 1, Items: []priority.Item{}, Findings: []finding.Finding{}}
	failed := false
	for _, text := range texts {
		item := priority.NewItem(text, o)
		v.Items = append(v.Items, item)
		failed = failed || !item.OK || item.SetError != nil
		v.Findings = append(v.Findings, priority.Judge(text, text, o)...)
	}
	if len(texts) == 2 {
		v.Agreement = agreements(texts[0], texts[1], o)
		for _, a := range v.Agreement {
			failed = failed || a.Error != ""
		}
	}
	failed = failed || finding.Worst(v.Findings) >= level
	err = p.show(c, v, func() { p.printPriorities(v, o, paint) })
	if err == nil && failed {
		return status(exitFindings)
	}
	return err
}

// priorities gives the strings of the arguments; "-" stands for those on standard input.
func (p *program) priorities(args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, usage("priority needs a string").hint("virt-pki priority NORMAL")
	}
	var texts []string
	for _, a := range args {
		if a != "-" {
			texts = append(texts, a)
			continue
		}
		input, err := p.readFile("-")
		if err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
		s := bufio.NewScanner(bytes.NewReader(input))
		s.Buffer(nil, maxInput)
		for s.Scan() {
			texts = append(texts, s.Text())
		}
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
	}
	return texts, nil
}

// priorityOptions says for which GnuTLS strings are expanded, and reads its system file: --system-config, or where GnuTLS
// itself looks on this machine.
func (p *program) priorityOptions(c *cli.Context) (priority.Options, error) {
	var o priority.Options
	var err error
	if s := c.String("gnutls"); s != "" {
		if o.GnuTLS, err = priority.ParseRelease(s); err != nil {
			return o, usage("--gnutls: %s", err)
		}
	}
	names := []string{priority.SystemFile, priority.FedoraSystemFile}
	if f := p.getenv("GNUTLS_SYSTEM_PRIORITY_FILE"); f != "" {
		names = []string{f}
	}
	named := c.String("system-config")
	if named != "" {
		names = []string{named}
	}
	for _, name := range names {
		content, err := p.readFile(name)
		switch {
		case err == nil:
			o.System = priority.ParseSystem(content)
			return o, nil
		case named != "" || !errors.Is(err, fs.ErrNotExist):
			return o, fmt.Errorf("reading GnuTLS's system file: %w", err)
		}
	}
	return o, nil
}

// agreements says what two ends come to for the usual kinds of certificates.
func agreements(client, server string, o priority.Options) []agreementView {
	x, errX := priority.Expand(client, o)
	y, errY := priority.Expand(server, o)
	if errX != nil || errY != nil {
		return nil // said with the string
	}
	var out []agreementView
	for _, k := range []priority.KeyKind{priority.KeyRSA, priority.KeyECDSAP256} {
		a := agreementView{Key: k.String()}
		if got, err := priority.Common(x, y, k); err != nil {
			a.Error = err.Error()
		} else {
			a.Version, a.Suite, a.Group = got.Version, got.Suite.Name, got.Group
		}
		out = append(out, a)
	}
	return out
}

// printPriorities prints each string in words and in GnuTLS's lists.
func (p *program) printPriorities(v priorityView, o priority.Options, paint painter) {
	w := p.stdout
	for i, item := range v.Items {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s   (GnuTLS %s)\n", visible(item.String), item.GnuTLS)
		if !item.OK {
			continue // the finding says it
		}
		if item.Resolved != "" {
			fmt.Fprintf(w, "  stands for  %s\n", visible(item.Resolved))
		}
		if x, err := priority.Expand(item.String, o); err == nil {
			for _, s := range x.Describe() {
				fmt.Fprintf(w, "%s\n", wrap(s, 96, "  "))
			}
		}
		suites := make([]string, len(item.CipherSuites))
		for i, s := range item.CipherSuites {
			suites[i] = s.Name
		}
		for _, l := range []struct {
			label string
			words []string
		}{{"versions", item.Protocols}, {"suites", suites}, {"groups", item.Groups}, {"signatures", item.Signatures}} {
			fmt.Fprintf(w, "  %-10s  %s\n", l.label, strings.TrimSpace(wrap(strings.Join(l.words, " "), 84, "              ")))
		}
	}
	for i, a := range v.Agreement {
		if i == 0 {
			fmt.Fprintf(w, "\na client with the first and a server with the second\n")
		}
		if a.Error != "" {
			fmt.Fprintf(w, "  %-12s nothing: %s\n", a.Key, a.Error)
			continue
		}
		fmt.Fprintf(w, "  %-12s %s\n", a.Key, strings.Join(strings.Fields(a.Version+" "+a.Suite+" "+a.Group), ", "))
	}
	if len(v.Findings) > 0 {
		fmt.Fprintln(w)
	}
	p.printFindings(w, v.Findings, paint)
}
