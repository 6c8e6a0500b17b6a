package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
)

// The program that makes handshakes with the GnuTLS of this machine, and the variable that names its file.
const (
	gnutlsProgram  = "virt-pki-gnutls"
	gnutlsVariable = "VIRT_PKI_GNUTLS"
)

func engineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tls-engine", Value: "auto", Usage: "`ENGINE` of TLS: go, gnutls (this machine's, by virt-pki-gnutls), auto (go where it does what tls_priority says)"},
		&cli.StringFlag{Name: "gnutls-program", Usage: "the `FILE` of virt-pki-gnutls", DefaultText: "$VIRT_PKI_GNUTLS, else beside virt-pki, else in PATH"},
		&cli.StringFlag{Name: "build-priority", Usage: "the tls_priority `STRING` libvirt was built with",
			DefaultText: "NORMAL; @LIBVIRT,SYSTEM where there are crypto-policies"},
	}
}

// engine reads --tls-engine and --gnutls-program. The program need not be there before it is needed.
func (p *program) engine(c *cli.Context) (handshake.Engine, *gnutls.Program, error) {
	e, err := handshake.ParseEngine(c.String("tls-engine"))
	if err != nil {
		return 0, nil, usage("--tls-engine %s: auto, go or gnutls", shellQuote(c.String("tls-engine")))
	}
	g := &gnutls.Program{Env: environmentOfOthers(os.Environ())}
	g.Path, g.Missing = p.findGnutls(c.String("gnutls-program"))
	return e, g, nil
}

// findGnutls looks for the program, and says where it is not.
func (p *program) findGnutls(named string) (path, missing string) {
	for _, from := range []struct{ what, file string }{{"--gnutls-program", named}, {gnutlsVariable, p.getenv(gnutlsVariable)}} {
		if from.file == "" {
			continue
		}
		if st, err := os.Stat(from.file); err != nil || st.IsDir() {
			return "", fmt.Sprintf("%s names %q, which is no program", from.what, from.file)
		}
		abs, err := filepath.Abs(from.file)
		if err != nil {
			abs = from.file
		}
		return abs, ""
	}
	if file := companion(gnutlsProgram); file != "" {
		return file, ""
	}
	beside := "virt-pki"
	if self, err := os.Executable(); err == nil {
		beside = self
	}
	return "", fmt.Sprintf("it is neither beside %s nor in PATH", beside)
}

// buildPriority is what libvirt falls back to: as it is told, else as the distribution of the machine builds it, whose
// files are read by the names that exists is asked for.
func (p *program) buildPriority(c *cli.Context, exists func(string) bool) string {
	switch {
	case c.IsSet("build-priority"):
		return c.String("build-priority")
	case exists(priority.FedoraSystemFile):
		return probe.FedoraPriority
	}
	return probe.BuiltInPriority
}

// gnutlsOf describes what of a machine's GnuTLS is not its version: its system file, and what libvirt was built with. h is the
// machine; nil: this one.
func (p *program) gnutlsOf(c *cli.Context, m *preflight.Machine, h *host) error {
	here := func(name string) string { return name }
	if h != nil {
		here = h.below
	}
	m.BuildPriority = p.buildPriority(c, m.Exists)
	if name := c.String("system-config"); name != "" {
		text, err := p.read("GnuTLS's system file", name)
		if err != nil {
			return err
		}
		if m.SystemFile, err = filepath.Abs(name); err != nil {
			return err
		}
		m.GnuTLS.System = priority.ParseSystem(text)
		return nil
	}
	for _, name := range []string{priority.SystemFile, priority.FedoraSystemFile} {
		if !m.Exists(name) {
			continue
		}
		text, err := m.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading GnuTLS's system file %q: %w", here(name), err)
		}
		m.GnuTLS.System = priority.ParseSystem(text)
		if h == nil || h.collected == nil {
			m.SystemFile = here(name) // a bundle's files are in the bundle alone
		}
		return nil
	}
	return nil
}
