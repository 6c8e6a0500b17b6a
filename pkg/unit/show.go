package unit

import (
	"path"
	"strconv"
	"strings"
	"time"
)

// ShowProperties are the properties that systemctl show is to be asked for, with TZ=UTC and LC_ALL=C in its environment:
// systemctl show --property=PROPERTY,... UNIT...
func ShowProperties() []string {
	return []string{"Id", "Names", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload", "MainPID", "ExecMainStartTimestamp",
		"FragmentPath", "UnitFilePreset", "ConditionResult", "AssertResult", "ConditionTimestampMonotonic"}
}

// ShowUnits are the units that it is to be asked about.
func ShowUnits() []string {
	var out []string
	for _, d := range remote {
		out = append(out, d+".service")
		for _, s := range socketSuffixes {
			out = append(out, d+s+".socket")
		}
	}
	return out
}

// A Running is what systemd says about a unit now.
type Running struct {
	Name string
	// Load is "loaded", "not-found", "masked" or "bad-setting"; Active "active", "inactive", "failed" or "activating".
	Load, Active, Sub string
	// FileState is as State, systemd's own word.
	FileState State
	// NeedReload says that the files are newer than what systemd has read.
	NeedReload bool
	// PID is the main process of a service, 0 if there is none.
	PID int
	// Preset is what systemd says of the unit file's preset.
	Preset Preset
	// Skipped says that the last start was left out because of a condition, or failed at an assert.
	Skipped bool
	// Since is when the main process of a service was started, to the second; zero: it was not, or it is not known.
	Since time.Time
}

// Up reports whether the unit is there and works.
func (r Running) Up() bool {
	return r.Active == "active" || r.Active == "activating" || r.Active == "reloading"
}

// ParseShow reads what systemctl show prints about several units: blocks of NAME=VALUE lines with an empty line between.
// Lines that are nothing of the kind are left out.
func ParseShow(b []byte) []Running {
	var out []Running
	var r Running
	unmet, checked := false, false
	end := func() {
		r.Skipped = unmet && checked && !r.Up()
		unmet, checked = false, false
		if r.Name != "" {
			out = append(out, r)
		}
		r = Running{}
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			end()
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "Id":
			r.Name = value
		case "LoadState":
			r.Load = value
		case "ActiveState":
			r.Active = value
		case "SubState":
			r.Sub = value
		case "UnitFileState":
			r.FileState = State(value)
		case "UnitFilePreset":
			r.Preset = Preset(value)
		case "ConditionResult", "AssertResult":
			unmet = unmet || value == "no"
		case "ConditionTimestampMonotonic":
			checked = value != "" && value != "0"
		case "NeedDaemonReload":
			r.NeedReload = value == "yes"
		case "MainPID":
			r.PID, _ = strconv.Atoi(value)
		case "ExecMainStartTimestamp":
			r.Since, _ = time.Parse("Mon 2006-01-02 15:04:05 MST", value)
		case "FragmentPath":
			if r.Name == "" {
				r.Name = path.Base(value)
			}
		}
	}
	end()
	return out
}
