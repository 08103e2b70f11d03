/** The status page in a browser: nothing is loaded or run, nothing sticks out, light and dark, on a phone and a desk. */

import { existsSync, mkdirSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderPage } from "../../src/observe/page/page.ts";
import type { PageView } from "../../src/observe/page/view.ts";
import { cells } from "../lab/length.ts";
import { HEALTHY, hostile, IN_TROUBLE, JUST_STARTED } from "./page-views.ts";
import { type Served, startServer } from "./server.ts";

const CHROMIUM = "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const VIEWS: Readonly<Record<string, PageView>> = {
  healthy: HEALTHY,
  trouble: IN_TROUBLE,
  started: JUST_STARTED,
  hostile: hostile(30),
};
const SCREENS: Readonly<Record<string, BrowserContextOptions>> = {
  phone: { viewport: { width: 360, height: 740 }, isMobile: true, deviceScaleFactor: 2 },
  tablet: { viewport: { width: 768, height: 1024 } },
  desk: { viewport: { width: 1280, height: 900 } },
};
const THEMES = ["light", "dark"] as const;
const SCREENSHOTS = "build/screenshots";
/** Of a busy machine, on which half a minute, as the library has it, may be too short. */
const PATIENCE_MS = 240_000;

const hasChromium = existsSync(CHROMIUM);
if (!hasChromium)
  console.warn(`SKIPPED: the page in a browser needs ${CHROMIUM} (Debian: apt-get install chromium)`);

describe.skipIf(!hasChromium)("in Chromium", () => {
  let browser: Browser;
  let served: Served;

  beforeAll(async () => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    const routes = Object.fromEntries(
      Object.entries(VIEWS).map(([name, view]) => [
        `/${name}`,
        () => ({ code: 200, type: "text/html; charset=utf-8", body: renderPage(view) }),
      ]),
    );
    served = await startServer(routes);
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      headless: true,
      args: FLAGS,
      timeout: PATIENCE_MS,
    });
  });
  afterAll(async () => {
    served?.stop();
    await browser?.close();
  });

  const all = Object.keys(VIEWS).flatMap((view) =>
    Object.keys(SCREENS).flatMap((screen) => THEMES.map((theme) => [view, screen, theme] as const)),
  );
  const shown = ["phone dark", "desk light"];
  const cases = cells(all, ([, screen, theme]) => shown.includes(`${screen} ${theme}`));
  test.each(cases)("%s, %s, %s", async (view, screen, theme) => {
    const context = await browser.newContext({ ...SCREENS[screen], colorScheme: theme });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const trouble: string[] = [];
    const requests: string[] = [];
    page.on("console", (message) => trouble.push(message.text()));
    page.on("pageerror", ({ message }) => trouble.push(message));
    page.on("dialog", (dialog) => {
      trouble.push(dialog.message());
      void dialog.dismiss();
    });
    page.on("request", (request) => requests.push(request.url()));
    const url = `http://127.0.0.1:${served.port}/${view}`;
    const response = await page.goto(url);
    await page.screenshot({
      path: `${SCREENSHOTS}/${view}-${screen}-${theme}.png`,
      fullPage: view !== "hostile",
    });

    expect(response?.status()).toBe(200);
    expect(trouble).toEqual([]);
    expect(requests).toEqual([url]);
    expect(await page.evaluate(LOOK)).toEqual({
      tooWide: [],
      lowContrast: [],
      scripts: 0,
      headings: [
        "Agent",
        "Configuration",
        "Rules",
        "Connections and SNAT ports",
        "Address space",
        "Last passes",
        "Repaired drift",
      ],
      regionsWithoutName: 0,
    });
    await context.close();
  });
});

/**
 * Run in the page, which has no types here. Contrast is WCAG's: 4.5 for text; what lies behind is the nearest background
 * that is not transparent.
 */
const LOOK = `(() => {
  const width = document.documentElement.clientWidth;
  const all = [...document.body.querySelectorAll("*")];
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const c = part / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = (element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
  const name = (element) => element.tagName + "." + (element.getAttribute("class") ?? "") + " " + element.textContent.slice(0, 30);
  const texts = all.filter((element) => hasText(element) && !element.closest("svg, meter"));
  return {
    tooWide: [
      ...(document.documentElement.scrollWidth > width ? ["the page"] : []),
      ...all.filter((element) => element.getBoundingClientRect().right > width + 0.5).map(name),
    ],
    lowContrast: texts.filter((element) => contrast(element) < 4.5).map(name),
    scripts: document.querySelectorAll("script, img, iframe, object, link").length,
    headings: [...document.querySelectorAll("h2")].map((heading) => heading.textContent),
    regionsWithoutName: all.filter((element) => element.matches("section:not([aria-labelledby]), svg[role]:not([aria-label]), meter:not([aria-label])")).length,
  };
})()`;
