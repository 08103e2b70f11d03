// The oracle of test/oracle/differential.ts: the Go libraries that the Go program uses, behind a line protocol.
// Each line of stdin is {"op", "data": base64}; each line of stdout its answer.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"time"
	"unicode"

	yamlv2 "gopkg.in/yaml.v2"
	"sigs.k8s.io/yaml"
)

type request struct {
	Op   string
	Data []byte
}

type answer struct {
	Ok    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	// Go's own result depends on the random order of its maps.
	Ambiguous bool `json:"ambiguous,omitempty"`
	Value     any  `json:"value,omitempty"`
}

type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(s)
	*d = duration(parsed)
	return err
}

// MasqConfig is named as in the Go program, since error messages name it.
type MasqConfig struct {
	NonMasqueradeCIDRs []string `json:"nonMasqueradeCIDRs"`
	CidrLimit          int      `json:"cidrLimit"`
	MasqLinkLocal      bool     `json:"masqLinkLocal"`
	MasqLinkLocalIPv6  bool     `json:"masqLinkLocalIPv6"`
	ResyncInterval     duration `json:"resyncInterval"`
}

func refused(err error) answer { return answer{Error: err.Error()} }

// toJSON does what k8s.io/apimachinery/pkg/util/yaml.ToJSON does.
func toJSON(data []byte) ([]byte, error) {
	if bytes.HasPrefix(bytes.TrimLeftFunc(data, unicode.IsSpace), []byte("{")) {
		return data, nil
	}
	return yaml.YAMLToJSON(data)
}

func document(data []byte) answer {
	text, err := toJSON(data)
	if err != nil {
		return refused(err)
	}
	var checked json.RawMessage
	if err := json.Unmarshal(text, &checked); err != nil {
		return refused(err)
	}
	return answer{Ok: true, Ambiguous: ambiguous(data), Value: canonical(checked)}
}

var badBytes = regexp.MustCompile("\uFFFD+")

// canonical writes JSON with its numbers as they are and its strings, decoded, in hexadecimal,
// so that no two encoders have to agree on escapes. One U+FFFD is written for any number of bad bytes.
func canonical(text []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out bytes.Buffer
	for {
		token, err := decoder.Token()
		if err != nil {
			return out.String()
		}
		switch token := token.(type) {
		case json.Delim:
			out.WriteString(token.String())
		case string:
			fmt.Fprintf(&out, "%x", badBytes.ReplaceAllString(token, "\uFFFD"))
		case json.Number:
			out.WriteString("#" + token.String())
		default:
			fmt.Fprint(&out, token)
		}
		out.WriteByte(' ')
	}
}

// ambiguous tells whether two keys of a map become the same string.
func ambiguous(data []byte) bool {
	var value any
	if yamlv2.Unmarshal(data, &value) != nil {
		return false
	}
	return clash(value)
}

func clash(value any) bool {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if clash(item) {
				return true
			}
		}
	case map[any]any:
		seen := map[string]bool{}
		for key, item := range value {
			text := fmt.Sprint(key)
			if f, ok := key.(float64); ok {
				text = strconv.FormatFloat(f, 'g', -1, 32)
			}
			switch text {
			case "+Inf":
				text = ".inf"
			case "-Inf":
				text = "-.inf"
			case "NaN":
				text = ".nan"
			}
			if seen[text] || clash(item) {
				return true
			}
			seen[text] = true
		}
	}
	return false
}

func config(data []byte) answer {
	c := MasqConfig{
		NonMasqueradeCIDRs: []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"},
		CidrLimit:          64,
		ResyncInterval:     duration(60 * time.Second),
	}
	text, err := toJSON(data)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return refused(err)
	}
	if len(c.NonMasqueradeCIDRs) > c.CidrLimit {
		return refused(fmt.Errorf("limit"))
	}
	for _, text := range c.NonMasqueradeCIDRs {
		ip, network, err := net.ParseCIDR(text)
		if err != nil || !ip.Equal(network.IP) {
			return refused(fmt.Errorf("cidr"))
		}
	}
	// What the agent makes of them: the shortest interval is 100 ms.
	interval := math.Max(100, float64(c.ResyncInterval)/1e6)
	return answer{Ok: true, Value: map[string]any{
		"nonMasqueradeCIDRs": append([]string{}, c.NonMasqueradeCIDRs...),
		"cidrLimit":          c.CidrLimit,
		"masqLinkLocal":      c.MasqLinkLocal,
		"masqLinkLocalIPv6":  c.MasqLinkLocalIPv6,
		"resyncIntervalMs":   interval,
	}}
}

func cidr(data []byte) answer {
	ip, network, err := net.ParseCIDR(string(data))
	if err != nil {
		return refused(err)
	}
	if !ip.Equal(network.IP) {
		return answer{Ok: true, Value: map[string]any{"aligned": false, "network": network.String()}}
	}
	return answer{Ok: true, Value: map[string]any{
		"aligned": true,
		"family":  map[bool]string{true: "IPv6", false: "IPv4"}[ip.To4() == nil],
		"network": network.String(),
	}}
}

func result(value any, err error) answer {
	if err != nil {
		return refused(err)
	}
	return answer{Ok: true, Value: fmt.Sprint(value)}
}

func reply(r request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{Error: fmt.Sprint("panic: ", p)}
		}
	}()
	text := string(r.Data)
	switch r.Op {
	case "document":
		return document(r.Data)
	case "config":
		return config(r.Data)
	case "cidr":
		return cidr(r.Data)
	case "duration":
		d, err := time.ParseDuration(text)
		return result(int64(d), err)
	case "bool":
		return result(strconv.ParseBool(text))
	case "atoi":
		return result(strconv.Atoi(text))
	}
	return answer{Error: "unknown op " + reflect.ValueOf(r.Op).String()}
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	// Whole lines: a json.Decoder can leave the line feed of the last request in `in`, which then looks like one more request.
	for line, err := in.ReadBytes('\n'); err == nil; line, err = in.ReadBytes('\n') {
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := encoder.Encode(reply(r)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// The other side may wait for this answer before it asks again.
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
	out.Flush()
}
