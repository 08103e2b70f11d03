// Renders a chart as Helm does: Go's templates with sprig's functions, and the few that Helm adds. For the tests of the chart.
// usage: render CHART_DIRECTORY < {"values": {...}, "namespace": "..."} > {"file": "text", ...}
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

type files struct{ directory string }

func (f files) Get(name string) string {
	text, _ := os.ReadFile(filepath.Join(f.directory, name))
	return string(text)
}

// merge lays values over the chart's own; null takes a default away.
func merge(base, over object) object {
	for key, value := range over {
		inner, isObject := value.(object)
		if below, both := base[key].(object); isObject && both {
			base[key] = merge(below, inner)
		} else if value == nil {
			delete(base, key)
		} else {
			base[key] = value
		}
	}
	return base
}

func check(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func read(path string) object {
	text, err := os.ReadFile(path)
	check(err)
	var parsed object
	check(yaml.Unmarshal(text, &parsed))
	return parsed
}

func functions(all *template.Template) template.FuncMap {
	functions := sprig.TxtFuncMap()
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["fromYaml"] = func(text string) (object, error) {
		parsed := object{}
		return parsed, yaml.Unmarshal([]byte(text), &parsed)
	}
	return functions
}

func main() {
	directory := os.Args[1]
	var asked struct {
		Values    object
		Namespace string
	}
	check(json.NewDecoder(os.Stdin).Decode(&asked))
	chart := read(filepath.Join(directory, "Chart.yaml"))
	data := object{
		"Values":  merge(read(filepath.Join(directory, "values.yaml")), asked.Values),
		"Chart":   object{"Name": chart["name"], "Version": chart["version"], "AppVersion": chart["appVersion"]},
		"Release": object{"Name": "release", "Namespace": asked.Namespace, "Service": "Helm"},
		"Files":   files{directory},
	}
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	paths, err := filepath.Glob(filepath.Join(directory, "templates", "*"))
	check(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		_, err = all.New(filepath.Base(path)).Parse(string(text))
		check(err)
	}
	rendered := map[string]string{}
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out bytes.Buffer
		check(all.ExecuteTemplate(&out, name, data))
		rendered[name] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	check(json.NewEncoder(os.Stdout).Encode(rendered))
}
