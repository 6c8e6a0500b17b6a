package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func (p *program) expiryCommand() *cli.Command {
	return &cli.Command{
		Name: "expiry", Category: "live", Usage: "what ends when, and what stops working then", ArgsUsage: "",
		Description: `Says of everything in the authority's inventory that is in force, of the CA and of its revocation
list when it ends, how many days are left and what stops working then. With --scan also of every
certificate and list found in files below a directory, which needs no authority. With --spec it is
the authority of that cluster file, and its files are scanned.

Thresholds are a length of time (30d; of what lives shorter than twice that: half its life) or a
share of the lifetime (20%). A stale revocation list is an error, before that it is a warning only:
nothing stops, libvirt does not look.

EXAMPLES
   virt-pki expiry --authority ./cluster/authority
   virt-pki expiry --scan /etc/pki --warn 20% --error 5%
   virt-pki expiry --scan ./cluster --at +1y --all
   virt-pki expiry --spec cluster.toml
   virt-pki expiry --prometheus --output /var/lib/node_exporter/virt-pki.prom

EXIT STATUS
   0 nothing is due   1 something is at or above --fail-on   2 wrong usage   3 could not complete`,
		Flags: append(authorityFlags(),
			&cli.StringFlag{Name: "spec", Usage: "`FILE`: the cluster file that says where authority and files are"},
			&cli.StringSliceFlag{Name: "scan", Usage: "`DIR`: also what is in the files below it"},
			warnFlag(), errorFlag(),
			&cli.BoolFlag{Name: "all", Usage: "show also what is not due"},
			&cli.BoolFlag{Name: "csv", Usage: "print CSV"},
			&cli.BoolFlag{Name: "prometheus", Usage: "print metrics for Prometheus's node exporter (textfile collector)"},
			outputFlag(),
			atFlag(), failOnFlag(), jsonFlag(), quietFlag(), colorFlag()),
		Action: p.expiry,
	}
}

// An endingView shows something that ends.
type endingView struct {
	Kind      string    `json:"kind"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Layout    string    `json:"layout"`
	Serial    string    `json:"serial"`
	DN        string    `json:"dn"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Days      int       `json:"days_left"`
	Level     string    `json:"level"` // ok, warning, error
	State     string    `json:"state"`
	Files     []string  `json:"files"`
	Then      string    `json:"then"`
	severity  finding.Severity
}

// An expiryView is the answer of expiry.
type expiryView struct {
	Schema    int          `json:"schema"`
	At        time.Time    `json:"at"`
	Verdict   string       `json:"verdict"`
	Items     []endingView `json:"items"`
	Unchecked []string     `json:"unchecked,omitempty"`
}

func (p *program) expiry(c *cli.Context) error {
	if c.Args().Present() {
		return usage("expiry takes no argument %s", quote(c.Args().First())).hint("virt-pki expiry --scan DIR")
	}
	formats := 0
	for _, f := range []string{"json", "csv", "prometheus"} {
		if c.Bool(f) {
			formats++
		}
	}
	if formats > 1 {
		return usage("--json, --csv and --prometheus exclude each other")
	}
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	w, err := p.watch(c)
	if err != nil {
		return err
	}
	v := expiryView{Schema: 1, At: w.Now.UTC(), Items: []endingView{}}
	if err := p.gather(c, &w, &v); err != nil {
		return err
	}
	worst := finding.Severity(0)
	for _, e := range w.Endings() {
		v.Items = append(v.Items, viewEnding(e, w.Now))
		worst = max(worst, e.Level)
	}
	v.Verdict = levelText(worst)
	if err := p.deliver(c, v, paint); err != nil {
		return err
	}
	switch {
	case worst >= level && worst > 0:
		return status(exitFindings)
	case len(v.Unchecked) > 0:
		return status(exitIncomplete)
	}
	return nil
}

// gather fills the watch from the authority and from the directories to be scanned.
func (p *program) gather(c *cli.Context, w *expiry.Watch, v *expiryView) error {
	scans := c.StringSlice("scan")
	if len(scans) == 0 || c.String("authority") != "" || c.IsSet("spec") {
		a, cl, err := p.openListed(c)
		if err != nil {
			return err
		}
		defer a.Close()
		if cl != nil {
			scans = append(scans, cl.Dir)
		}
		if err := watchAuthority(c.Context, w, a, a.CRLPath()); err != nil {
			return err
		}
	}
	var err error
	v.Unchecked, err = p.scanDirs(scans, w.Scan)
	return err
}

// warnFlag and errorFlag are read by watch.
func warnFlag() cli.Flag {
	return &cli.StringFlag{Name: "warn", Value: "30d", Usage: "`SPAN|SHARE`: what ends within it is a warning"}
}

func errorFlag() cli.Flag {
	return &cli.StringFlag{Name: "error", Value: "7d", Usage: "`SPAN|SHARE`: what ends within it is an error"}
}

// watch reads --at, --warn and --error.
func (p *program) watch(c *cli.Context) (w expiry.Watch, err error) {
	if w.Now, err = p.at(c); err != nil {
		return w, err
	}
	for _, t := range []struct {
		flag string
		into *expiry.Threshold
	}{{"warn", &w.Warn}, {"error", &w.Fail}} {
		if *t.into, err = expiry.ParseThreshold(c.String(t.flag), parseSpan); err != nil {
			return w, invalid("--"+t.flag, c.String(t.flag), err)
		}
	}
	return w, nil
}

// watchAuthority fills the watch with what an authority has issued, its CA and its revocation list, which is said to be in a file.
func watchAuthority(ctx context.Context, w *expiry.Watch, a *ca.Authority, file string) error {
	entries, err := a.Inventory().List(ctx, inventory.Filter{})
	if err != nil {
		return err
	}
	w.Inventory(entries)
	cas, err := a.Certificates()
	if err != nil {
		return err
	}
	w.CA(cas)
	own, _, err := a.CRL()
	if err == nil && own != nil {
		w.CRL(own, file)
	}
	return err
}

func viewEnding(e expiry.Ending, now time.Time) endingView {
	v := endingView{Kind: string(e.Kind), Name: e.Name, Layout: e.Layout, Serial: e.Serial, DN: e.Subject, NotBefore: e.NotBefore,
		NotAfter: e.NotAfter, Days: e.Days(now), Level: levelText(e.Level), State: string(e.State), Files: e.Files, Then: e.Then, severity: e.Level}
	if e.Role != 0 {
		v.Role = e.Role.String()
	}
	if e.Revoked {
		v.State = "revoked"
	}
	if v.Files == nil {
		v.Files = []string{}
	}
	return v
}

func levelText(s finding.Severity) string {
	if s == 0 {
		return "ok"
	}
	return s.String()
}

// deliver prints the answer, or puts it into the file of --output.
func (p *program) deliver(c *cli.Context, v expiryView, paint painter) error {
	var b bytes.Buffer
	out := *p
	out.stdout = &b
	var err error
	switch {
	case c.Bool("json"):
		err = out.printJSON(v)
	case c.Bool("csv"):
		err = endingsCSV(&b, v.Items)
	case c.Bool("prometheus"):
		endingsMetrics(&b, v)
	case !c.Bool("quiet"):
		out.printEndings(v, c.Bool("all"), paint)
	}
	if err != nil {
		return err
	}
	if name := c.String("output"); name != "" {
		return replaceFile(name, b.Bytes())
	}
	_, err = p.stdout.Write(b.Bytes())
	return err
}

func (p *program) printEndings(v expiryView, all bool, paint painter) {
	due := 0
	for _, e := range v.Items {
		if e.severity > 0 {
			due++
		}
		if e.severity == 0 && !all {
			continue
		}
		level := e.Level + ":"
		if e.severity > 0 {
			level = paint.severity(e.severity)
		}
		what := e.what()
		if e.Layout != "" {
			what += " (" + e.Layout + ")"
		}
		when := fmt.Sprintf("ends on %s, %s left", e.NotAfter.Format("2006-01-02"), plural(e.Days, "day"))
		if !e.NotAfter.After(v.At) {
			when = "ended on " + e.NotAfter.Format("2006-01-02 15:04:05")
		}
		if e.State == "revoked" || e.State == string(inventory.Superseded) || e.State == string(inventory.Abandoned) {
			when += ", " + e.State
		}
		fmt.Fprintf(p.stdout, "%s %s: %s\n    then: %s\n", level, what, when, visible(e.Then))
		for i, f := range e.Files {
			if i == 3 && len(e.Files) > 4 {
				fmt.Fprintf(p.stdout, "    and %d more files\n", len(e.Files)-i)
				break
			}
			fmt.Fprintf(p.stdout, "    file: %s\n", visible(f))
		}
	}
	fmt.Fprintf(p.stdout, "%s, %d due", plural(len(v.Items), "item"), due)
	for _, e := range v.Items {
		if e.severity == 0 && e.NotAfter.After(v.At) && e.State != "revoked" && e.State != string(inventory.Superseded) {
			fmt.Fprintf(p.stdout, "; next: %s on %s", e.what(), e.NotAfter.Format("2006-01-02"))
			break
		}
	}
	fmt.Fprintln(p.stdout)
}

// what names it.
func (e endingView) what() string {
	switch e.Kind {
	case string(expiry.OfCA):
		return "CA " + visible(e.Name)
	case string(expiry.OfCRL):
		return "CRL of " + visible(e.Name)
	}
	return strings.TrimSpace(e.Role + " " + visible(e.Name))
}

// endingsCSV writes by RFC 4180.
func endingsCSV(out io.Writer, items []endingView) error {
	w := csv.NewWriter(out)
	_ = w.Write([]string{"kind", "name", "role", "layout", "serial", "dn", "not_before", "not_after", "days_left", "level", "state", "files", "then"})
	for _, e := range items {
		_ = w.Write([]string{e.Kind, noFormula(e.Name), e.Role, noFormula(e.Layout), e.Serial, noFormula(e.DN), e.NotBefore.Format(time.RFC3339),
			e.NotAfter.Format(time.RFC3339), strconv.Itoa(e.Days), e.Level, e.State, noFormula(strings.Join(e.Files, " ")), noFormula(e.Then)})
	}
	w.Flush()
	return w.Error()
}

// endingsMetrics writes Prometheus's text format, version 0.0.4.
func endingsMetrics(out io.Writer, v expiryView) {
	metric := func(name, help string, value func(endingView) int64) {
		fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
		seen := map[string]bool{}
		for _, e := range v.Items {
			labels := fmt.Sprintf(`kind="%s",name="%s",role="%s",layout="%s",serial="%s",state="%s"`, label(e.Kind), label(e.Name), label(e.Role),
				label(e.Layout), label(e.Serial), label(e.State))
			if !seen[labels] { // the same series twice would spoil the whole file
				fmt.Fprintf(out, "%s{%s} %d\n", name, labels, value(e))
			}
			seen[labels] = true
		}
	}
	metric("virt_pki_not_before_timestamp_seconds", "Begin of the certificate or revocation list.", func(e endingView) int64 { return e.NotBefore.Unix() })
	metric("virt_pki_not_after_timestamp_seconds", "End of the certificate, nextUpdate of a revocation list.", func(e endingView) int64 { return e.NotAfter.Unix() })
	metric("virt_pki_expiry_level", "0: not due, 1: warning, 2: error.", func(e endingView) int64 {
		switch e.severity {
		case finding.Error:
			return 2
		case finding.Warning:
			return 1
		}
		return 0
	})
	fmt.Fprintf(out, "# HELP virt_pki_expiry_timestamp_seconds When this was judged.\n# TYPE virt_pki_expiry_timestamp_seconds gauge\nvirt_pki_expiry_timestamp_seconds %d\n", v.At.Unix())
	fmt.Fprintf(out, "# HELP virt_pki_expiry_unchecked Files that could not be read.\n# TYPE virt_pki_expiry_unchecked gauge\nvirt_pki_expiry_unchecked %d\n", len(v.Unchecked))
}

// label escapes a label's value.
func label(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD"))
}

// replaceFile gives a file new content at once: whoever reads it sees the old or the new. What is no file, /dev/null or a link,
// is not replaced by one.
func replaceFile(name string, data []byte) error {
	if st, err := os.Lstat(name); err == nil && !st.Mode().IsRegular() {
		return &hintedError{fmt.Errorf("replacing %s: it is no regular file", quote(name)), []string{"without it the result is on standard output"}}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		var path *os.PathError // names a file that the user does not know
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("writing %s: %w", quote(name), err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
