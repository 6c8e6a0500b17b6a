package unit

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// A Preset says what an installation makes of a unit: systemctl preset, and systemd itself at a machine's first boot.
type Preset string

// The presets, in the words of systemctl list-unit-files and systemctl status.
const (
	PresetEnabled  Preset = "enabled"
	PresetDisabled Preset = "disabled"
	PresetIgnored  Preset = "ignored" // since systemd 256
	// NoPreset is that of units that cannot be enabled.
	NoPreset Preset = ""
)

// presetDirs are where preset files lie; a file hides those of its name in later ones (systemd.preset(5)).
var presetDirs = []string{"/etc/systemd/", "/run/systemd/", "/usr/local/lib/systemd/", "/usr/lib/systemd/", "/lib/systemd/"}

// maxPresets bounds how many lines are read: each is compared with each unit. Distributions have about a hundred.
const maxPresets = 10_000

// A presetRule is a line of a preset file.
type presetRule struct {
	preset    Preset
	pattern   string
	instances []string
	file      string
	line      int
}

// presets reads the preset files, sorted by name whatever their directory.
func (t *Tree) presets() []presetRule {
	sub := "system-preset"
	if t.user {
		sub = "user-preset"
	}
	files := map[string]string{}
	for _, d := range presetDirs {
		for _, n := range t.names(d + sub) {
			if strings.HasSuffix(n, ".preset") && files[n] == "" {
				files[n] = d + sub + "/" + n
			}
		}
	}
	var out []presetRule
	for _, n := range slices.Sorted(maps.Keys(files)) {
		b, err := t.ReadFile(files[n])
		if err != nil {
			continue // a link to /dev/null among them
		}
		number := 0
		for line := range strings.Lines(string(b)) {
			number++
			if r, ok := presetLine(strings.Trim(line, whitespace)); ok && len(out) < maxPresets {
				r.file, r.line = files[n], number
				out = append(out, r)
			}
		}
	}
	return out
}

func presetLine(line string) (r presetRule, ok bool) {
	if line == "" || line[0] == '#' || line[0] == ';' {
		return r, false
	}
	end := strings.IndexAny(line, whitespace)
	if end < 0 {
		return r, false
	}
	rest := strings.TrimLeft(line[end:], whitespace)
	switch line[:end] {
	case "enable":
		w := strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune(whitespace, r) })
		if len(w) > 1 && !isTemplate(w[0]) {
			return r, false
		}
		return presetRule{preset: PresetEnabled, pattern: w[0], instances: w[1:]}, true
	case "disable":
		return presetRule{preset: PresetDisabled, pattern: rest}, true
	case "ignore":
		return presetRule{preset: PresetIgnored, pattern: rest}, true
	}
	return r, false
}

// matches compares as fnmatch does with FNM_NOESCAPE.
func (r presetRule) matches(name string) bool {
	pattern := strings.ReplaceAll(strings.ReplaceAll(r.pattern, `\`, `\\`), "[!", "[^")
	ok, err := path.Match(pattern, name)
	return ok && err == nil || r.pattern == name
}

// presetFor gives the first rule that is for a unit, and the instances of a template that it enables; a unit that no rule names is
// enabled.
func presetFor(rules []presetRule, name string) (r presetRule, instances []string) {
	for _, r := range rules {
		if len(r.instances) > 0 && r.pattern == templateOf(name) {
			if isTemplate(name) {
				return r, r.instances
			}
			if _, instance, _ := split(name); slices.Contains(r.instances, instance) {
				return r, nil
			}
		}
		if r.matches(name) {
			return r, nil
		}
	}
	return presetRule{preset: PresetEnabled}, nil
}

// Preset tells what the preset of a unit is, as systemctl list-unit-files and systemctl status do.
func (t *Tree) Preset(name string) Preset { return t.presetAs(name, t.State(name)) }

// presetAs is Preset of a unit whose state is known.
func (t *Tree) presetAs(name string, state State) Preset {
	switch state {
	case NotFound, Alias, Static, Generated, Transient:
		return NoPreset
	}
	for _, r := range t.presetRules() {
		if r.matches(name) {
			return r.preset
		}
	}
	return PresetEnabled
}
