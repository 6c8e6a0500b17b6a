package conf

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// checkLogging follows virDaemonSetupLogging: level, filters, outputs (virlog.c). Whether a log file can be opened is
// not looked at.
func (d *Daemon) checkLogging() error {
	if d.LogLevel > 4 {
		return d.logError("log_level", fmt.Sprintf("Failed to set logging priority, argument '%d' is invalid", d.LogLevel))
	}
	if d.LogFilters != nil {
		for filter := range logWords(*d.LogFilters) {
			if text := badFilter(filter); text != "" {
				return d.logError("log_filters", text)
			}
		}
	}
	if d.LogOutputs != nil {
		for output := range logWords(*d.LogOutputs) {
			if text := badOutput(output); text != "" {
				return d.logError("log_outputs", text)
			}
		}
	}
	return nil
}

// LogFiles gives the files that log_outputs names, in its order.
func (d *Daemon) LogFiles() []string {
	var out []string
	if d.LogOutputs != nil {
		for output := range logWords(*d.LogOutputs) {
			if fields := strings.Split(output, ":"); len(fields) == 3 && fields[1] == "file" {
				out = append(out, fields[2])
			}
		}
	}
	return out
}

func (d *Daemon) logError(key, text string) error {
	e := d.File.refused(key, ExitConfig, "invalid argument: "+text)
	e.log = []string{"libvirt:  error : " + e.Message}
	return e
}

// logWords splits at blanks as virLogParseFilters and -Outputs do.
func logWords(s string) iter.Seq[string] {
	return strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' })
}

// logPriority reports whether virStrToLong_uip makes 1 to 4 of s.
func logPriority(s string) bool {
	s = strings.TrimPrefix(strings.TrimLeft(s, cSpace), "+")
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && n >= 1 && n <= 4
}

func badFilter(filter string) string {
	priority, match, ok := strings.Cut(filter, ":")
	switch {
	case !ok:
		return fmt.Sprintf("Malformed format for filter '%s'", filter)
	case !logPriority(priority):
		return fmt.Sprintf("Invalid priority '%s' for filter '%s'", priority, filter)
	case strings.TrimPrefix(match, "+") == "": // + asks for a stack trace
		return fmt.Sprintf("Invalid match string '%s'", match)
	}
	return ""
}

func badOutput(output string) string {
	fields := strings.Split(output, ":")
	if len(fields) < 2 {
		return fmt.Sprintf("Malformed format for log output '%s'", output)
	}
	if !logPriority(fields[0]) {
		return fmt.Sprintf("Invalid log priority '%s' for log output '%s'", fields[0], output)
	}
	var want int
	switch fields[1] {
	case "stderr", "journald":
		want = 2
	case "syslog", "file":
		want = 3
	default:
		return fmt.Sprintf("Invalid log destination '%s' for log output '%s'", fields[1], output)
	}
	if len(fields) != want {
		return fmt.Sprintf("Log output '%s' does not meet the format requirements for destination type '%s'", output, fields[1])
	}
	return ""
}
