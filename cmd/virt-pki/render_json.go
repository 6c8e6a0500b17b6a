package main

import "encoding/json"

// printJSON writes one indented JSON object and a newline. Every object of the contract carries "schema": 1.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// optional is a string that is null in JSON when empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
