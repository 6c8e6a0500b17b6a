package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/expiry"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/templates"
)

func (p *program) reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Category:  "live",
		Usage:     "one HTML page: hosts, what ends when, findings, who reaches whom",
		ArgsUsage: "[DIR|FILE...]",
		Description: `Writes a page that stands alone: no scripts, nothing that is loaded from elsewhere. The
arguments are hosts, as for preflight --hosts: bundles of collect, trees of init, directories of
them; they give hosts, findings and the matrix of all connections. An authority, that of
--authority or one in an argument, gives what ends when.

EXAMPLES
   virt-pki report -o report.html ./cluster
   virt-pki report -o report.html --authority ./cluster/authority ./bundles
   virt-pki report --at +30d ./cluster > in-a-month.html

EXIT STATUS
   0 written   1 written, with findings at or above --fail-on   2 wrong usage
   3 could not complete, or not all could be judged`,
		Flags: append(append(authorityFlags(),
			outputFlag(),
			&cli.StringFlag{Name: "title", Value: "virt-pki report", Usage: "`TEXT`: the page's title"},
			&cli.StringFlag{Name: "conf", Aliases: []string{"c"}, Usage: "`FILE`: the daemons' configuration, for hosts that have none"},
			&cli.StringFlag{Name: "libvirt", Usage: "`VERSION`: judge all hosts as this one", DefaultText: "each host's own, else 9.0"},
			warnFlag(), errorFlag(),
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Usage: "how many connections at a time (`N`; 0: as many as there are processors)"},
			atFlag(), failOnFlag(), quietFlag()), engineFlags()...),
		Action: p.htmlReport,
	}
}

func (p *program) htmlReport(c *cli.Context) error {
	level, err := failOn(c)
	if err != nil {
		return err
	}
	w, err := p.watch(c)
	if err != nil {
		return err
	}
	args := c.Args().Slice()
	r := templates.Report{Title: c.String("title"), At: w.Now.UTC().Format("2006-01-02 15:04:05") + " UTC"}
	worst, failed := finding.Severity(0), false
	if len(args) > 0 {
		v, err := p.cross(c, args)
		if err != nil {
			return err
		}
		v.report(&r)
		worst = finding.Worst(v.Findings)
		for _, cell := range v.m.Cells {
			failed = failed || cell.Outcome != "" && cell.Outcome != finding.Connected
		}
	}
	if err := p.endings(c, args, &w, &r); err != nil {
		return err
	}
	due := map[finding.Severity]int{}
	for _, e := range w.Endings() {
		v := viewEnding(e, w.Now)
		due[e.Level]++
		worst = max(worst, e.Level)
		r.Endings = append(r.Endings, reportEnding(v, w.Now))
	}
	r.Summary = append(r.Summary, tile("certificates and lists", len(r.Endings), ""))
	r.Summary = append(r.Summary, tile("end soon or have ended", due[finding.Error]+due[finding.Warning], dueLevel(due)))
	page, err := r.HTML()
	if err != nil {
		return err
	}
	if name := c.String("output"); name != "" && name != "-" {
		if err := replaceFile(name, page); err != nil {
			return err
		}
		if !c.Bool("quiet") {
			fmt.Fprintf(p.stdout, "written: %s\n", visible(name))
		}
	} else if _, err := p.stdout.Write(page); err != nil {
		return err
	}
	switch {
	case failed || worst >= level && worst > 0:
		return status(exitFindings)
	case len(r.Unchecked) > 0:
		return status(exitIncomplete)
	}
	return nil
}

// endings fills the watch: from the authority that --authority or an argument names, and from the hosts.
func (p *program) endings(c *cli.Context, args []string, w *expiry.Watch, r *templates.Report) error {
	dir := c.String("authority")
	for _, a := range args {
		if beside := filepath.Join(a, cluster.AuthorityName); dir == "" && exists(beside) {
			dir = beside
		}
	}
	if dir != "" || len(args) == 0 || c.String("db") != "" { // else there is no authority, and what the hosts have is all
		if dir != "" && c.String("authority") == "" {
			if err := c.Set("authority", dir); err != nil {
				return err
			}
		}
		a, err := p.openAuthority(c)
		if which := (*usageError)(nil); errors.As(err, &which) {
			which.hint("hosts alone, without an authority: virt-pki report DIR...")
		}
		if err != nil {
			return err
		}
		defer a.Close()
		if err := watchAuthority(c.Context, w, a, ""); err != nil {
			return err
		}
	}
	for _, name := range args {
		hosts, err := bundle.Load(name)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			shown := func(path string) string { return h.Name + ":/" + path }
			if h.Manifest != nil {
				_ = w.Scan(h.FS(), shown) // what was withheld cannot be read, which the manifest says
				continue
			}
			for _, dir := range append([]string{"etc/pki"}, homesOf(h)...) {
				sub, err := fs.Sub(h.FS(), dir)
				if err != nil || !h.Exists("/"+dir) {
					continue
				}
				if err := w.Scan(sub, func(path string) string { return shown(dir + "/" + path) }); err != nil {
					r.Unchecked = append(r.Unchecked, fmt.Sprintf("%s: %v", h.Name, err))
				}
			}
		}
	}
	return nil
}

func homesOf(h *bundle.Host) []string {
	var out []string
	for _, home := range h.Homes() {
		out = append(out, strings.TrimPrefix(home, "/")+"/.pki")
	}
	return out
}

func tile(label string, n int, level string) templates.ReportTile {
	return templates.ReportTile{Label: label, Value: fmt.Sprint(n), Level: level}
}

func dueLevel(due map[finding.Severity]int) string {
	switch {
	case due[finding.Error] > 0:
		return "error"
	case due[finding.Warning] > 0:
		return "warning"
	}
	return "ok"
}

func reportEnding(v endingView, now time.Time) templates.ReportEnding {
	left := plural(v.Days, "day")
	if !v.NotAfter.After(now) {
		left = "ended"
	}
	what, state := v.what(), v.State
	if v.Kind != string(expiry.OfCertificate) {
		state = ""
	}
	if v.Layout != "" {
		what += " (" + v.Layout + ")"
	}
	return templates.ReportEnding{What: visible(what), When: v.NotAfter.UTC().Format("2006-01-02"), Left: left, Level: v.Level, State: state, Then: visible(v.Then)}
}

// report puts the matrix into the page.
func (v *matrixView) report(r *templates.Report) {
	v.reportTroubles(r)
	v.reportGrid(r)
	v.reportHosts(r)
	for _, f := range v.Findings {
		if v.told(f) {
			continue
		}
		level := f.Severity.String()
		r.Findings = append(r.Findings, templates.ReportFinding{Level: level, Subject: visible(f.Subject), Message: visible(f.Message), Rule: f.Rule, Cure: visible(f.Remedy)})
	}
	for _, u := range v.Unchecked {
		r.Unchecked = append(r.Unchecked, visible(u))
	}
	v.reportSummary(r)
}

// reportTroubles lists why connections would not stand.
func (v *matrixView) reportTroubles(r *templates.Report) {
	m := v.m
	for i, t := range v.troubles {
		w := templates.ReportTrouble{Mark: trouble(i), Hosts: visible(some(m, t.Hosts, false)), Rule: t.Rule}
		for _, b := range t.Blocks {
			w.Blocks = append(w.Blocks, visible(fmt.Sprintf("%s, from %s to %s", b.Outcome, some(m, b.Clients, true), some(m, b.Servers, true))))
		}
		if c, ok := first(m, t); ok {
			w.Client, w.Daemon = visible(c.LibvirtMessage), visible(c.DaemonMessage)
		}
		for _, k := range t.Cases {
			w.Why = append(w.Why, visible(m.Hosts[k.Host].Name+": "+k.Message))
			if n := len(w.Cures); k.Remedy != "" && (n == 0 || w.Cures[n-1] != visible(k.Remedy)) {
				w.Cures = append(w.Cures, visible(k.Remedy))
			}
		}
		r.Troubles = append(r.Troubles, w)
	}
}

// reportGrid draws the table of who reaches whom, with its legend.
func (v *matrixView) reportGrid(r *templates.Report) {
	m := v.m
	marks := v.marks()
	text := map[string]string{markProven: "would connect, proven by a TLS handshake", markJudged: "would connect, judged without keys", markUnjudged: "not judged"}
	links := map[string]bool{}
	for i, t := range v.troubles {
		links[trouble(i)], text[trouble(i)] = true, t.Rule
	}
	rows, columns := gridOf(m, marks)
	if len(rows) > largestGrid || len(columns) > largestGrid {
		r.Grid.Note = fmt.Sprintf("%d kinds of clients and %d of servers are too many for a table.", len(rows), len(columns))
	} else {
		for _, g := range columns {
			r.Grid.Servers = append(r.Grid.Servers, visible(labelOf(m, g)))
		}
		for _, g := range rows {
			row := templates.ReportRow{Client: visible(labelOf(m, g))}
			for _, s := range columns {
				mark := marks[[2]int{g.hosts[0], s.hosts[0]}]
				cell := templates.ReportCell{Mark: mark, Level: "error", Text: visible(labelOf(m, g) + " to " + labelOf(m, s) + ": " + text[mark])}
				switch {
				case mark == markProven || mark == markJudged:
					cell.Level = "ok"
				case mark == markUnjudged:
					cell.Level = "warning"
				case links[mark]:
					cell.Link = mark
				}
				row.Cells = append(row.Cells, cell)
			}
			r.Grid.Rows = append(r.Grid.Rows, row)
		}
	}
	seen := map[string]bool{}
	for _, c := range m.Cells {
		seen[marks[[2]int{c.Client, c.Server}]] = true
	}
	for _, mark := range []string{markProven, markJudged, markUnjudged} {
		if seen[mark] {
			r.Grid.Legend = append(r.Grid.Legend, mark+" "+text[mark])
		}
	}
	if len(v.troubles) > 0 {
		r.Grid.Legend = append(r.Grid.Legend, "a letter leads to the reason why they would not")
	}
}

// reportHosts says of each host what its daemon would do.
func (v *matrixView) reportHosts(r *templates.Report) {
	m := v.m
	for i, h := range v.Hosts {
		w := templates.ReportHost{Name: visible(h.Name), Libvirt: h.Libvirt, Role: "client", State: "none", Level: ""}
		if s := m.Servers[i]; s != nil {
			w.Role = "server and client"
			if !h.Client {
				w.Role = "server"
			}
			w.State, w.Level = "starts", "ok"
			switch {
			case len(m.Unread[i]) > 0:
				w.State, w.Level, w.Why = "not judged", "warning", visible(m.Unread[i][0]+" could not be read")
			case !s.Starts:
				w.State, w.Level = "does not start", "error"
				if len(s.Findings) > 0 {
					w.Why = visible(s.Findings[0].Message)
				}
			case !s.ListensTLS:
				w.State, w.Level = "starts, without TLS", "warning"
			}
		}
		r.Hosts = append(r.Hosts, w)
	}
}

// reportSummary counts the connections.
func (v *matrixView) reportSummary(r *templates.Report) {
	connected, failing, unjudged := 0, 0, 0
	for _, c := range v.m.Cells {
		switch c.Outcome {
		case "":
			unjudged++
		case finding.Connected:
			connected++
		default:
			failing++
		}
	}
	bad := func(n int) string {
		if n > 0 {
			return "error"
		}
		return "ok"
	}
	r.Summary = append(r.Summary, tile("hosts", len(v.Hosts), ""), tile("connections stand", connected, ""), tile("connections fail", failing, bad(failing)))
	if unjudged > 0 {
		r.Summary = append(r.Summary, tile("not judged", unjudged, "warning"))
	}
}
