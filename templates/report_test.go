package templates_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/virt-pki/virt-pki/templates"
)

func fullReport(text string) templates.Report {
	return templates.Report{Title: text, At: text,
		Summary:  []templates.ReportTile{{Label: text, Value: text, Level: "ok"}},
		Hosts:    []templates.ReportHost{{Name: text, Role: text, Libvirt: text, State: text, Level: "error", Why: text}},
		Endings:  []templates.ReportEnding{{What: text, When: text, Left: text, Level: "warning", State: text, Then: text}},
		Grid:     templates.ReportGrid{Servers: []string{text}, Rows: []templates.ReportRow{{Client: text, Cells: []templates.ReportCell{{Mark: "A", Level: "error", Text: text, Link: "A"}}}}, Legend: []string{text}},
		Troubles: []templates.ReportTrouble{{Mark: "A", Hosts: text, Rule: text, Blocks: []string{text}, Client: text, Daemon: text, Why: []string{text}, Cures: []string{text}}},
		Findings: []templates.ReportFinding{{Level: "error", Subject: text, Message: text, Rule: text, Cure: text}}, Unchecked: []string{text}}
}

// TestTheReportIsAPageThatStandsAlone parses it, and looks for what would make it load or run something.
func TestTheReportIsAPageThatStandsAlone(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=y>'` + "`"
	page, err := fullReport(evil).HTML()
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, links, tags := map[string]bool{}, []string{}, map[string]int{}
	var text strings.Builder
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		switch n.Type {
		case html.TextNode:
			if n.Parent.Data != "style" {
				text.WriteString(n.Data)
			}
		case html.ElementNode:
			tags[n.Data]++
			for _, a := range n.Attr {
				switch {
				case a.Key == "id":
					if ids[a.Val] {
						t.Errorf("the id %q is there twice", a.Val)
					}
					ids[a.Val] = true
				case a.Key == "aria-labelledby" || a.Key == "href":
					links = append(links, strings.TrimPrefix(a.Val, "#"))
				case a.Key == "src" || strings.HasPrefix(a.Key, "on"):
					t.Errorf("<%s> has the attribute %s=%q", n.Data, a.Key, a.Val)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(root)
	for _, tag := range []string{"script", "img", "link", "iframe", "object", "embed", "form"} {
		if tags[tag] > 0 {
			t.Errorf("there is a <%s>", tag)
		}
	}
	for _, l := range links {
		if !ids[l] {
			t.Errorf("a link leads to %q, which is not in the page", l)
		}
	}
	if tags["h1"] != 1 || tags["main"] != 1 || tags["caption"] != tags["table"] || tags["table"] != 4 {
		t.Errorf("the structure is %v", tags)
	}
	if n := strings.Count(text.String(), evil); n < 20 {
		t.Errorf("the text stands %d times in the page as it is", n)
	}
	if strings.Contains(string(page), "http:") || strings.Contains(string(page), "https:") || strings.Contains(string(page), "url(") || strings.Contains(string(page), "@import") {
		t.Error("the page names another resource")
	}
	for _, want := range []string{`<html lang="en">`, "prefers-color-scheme: dark", `content="default-src 'none'; style-src 'unsafe-inline'"`} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	again, err := fullReport(evil).HTML()
	if err != nil || !bytes.Equal(page, again) {
		t.Errorf("the page is another the second time: %v", err)
	}
}

func TestAnEmptyReportHasNoEmptyTables(t *testing.T) {
	page, err := templates.Report{Title: "nothing"}.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "<table") || strings.Contains(string(page), "<h2") {
		t.Errorf("got\n%s", page)
	}
}
