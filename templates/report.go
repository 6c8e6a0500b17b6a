package templates

import (
	"bytes"
	"fmt"
	"html/template"
)

// A Report is what the page report.html.tmpl shows. All texts are plain; the template escapes them.
type Report struct {
	Title string
	// At is the moment as of which it was judged, in words.
	At string
	// Summary are the numbers at the top.
	Summary  []ReportTile
	Hosts    []ReportHost
	Endings  []ReportEnding
	Grid     ReportGrid
	Troubles []ReportTrouble
	Findings []ReportFinding
	// Unchecked says what could not be judged.
	Unchecked []string
}

// A ReportTile is a number with what it counts. Level is "ok", "warning" or "error", here and below.
type ReportTile struct{ Label, Value, Level string }

// A ReportHost is one line of the table of hosts.
type ReportHost struct{ Name, Role, Libvirt, State, Level, Why string }

// A ReportEnding is something that ends.
type ReportEnding struct{ What, When, Left, Level, State, Then string }

// A ReportGrid is the connections: clients down, servers across.
type ReportGrid struct {
	Servers []string
	Rows    []ReportRow
	// Legend explains the marks.
	Legend []string
	// Note is shown in the place of a grid that would be too large.
	Note string
}

// A ReportRow is one client, or several that fare alike.
type ReportRow struct {
	Client string
	Cells  []ReportCell
}

// A ReportCell is a connection. Link names the trouble that it fails for.
type ReportCell struct{ Mark, Level, Text, Link string }

// A ReportTrouble is one cause of failing connections.
type ReportTrouble struct {
	Mark, Hosts, Rule string
	Blocks            []string
	Client, Daemon    string // what the client's user sees, and the daemon logs
	Why, Cures        []string
}

// A ReportFinding is a finding about a host.
type ReportFinding struct{ Level, Subject, Message, Rule, Cure string }

// HTML gives the page: one file without scripts that loads nothing.
func (r Report) HTML() ([]byte, error) {
	const name = "report.html.tmpl"
	t, err := template.New(name).Option("missingkey=error").ParseFS(sources, name)
	if err != nil {
		return nil, fmt.Errorf("template %q: %w", name, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, r); err != nil {
		return nil, fmt.Errorf("template %q: %w", name, err)
	}
	return b.Bytes(), nil
}
