// The gates of a page, run inside it. Each returns a list of sentences; an empty list is a good page.
window.gates = (() => {
  const article = () => document.querySelector("article") || document.querySelector("main");
  const visible = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const what = (e) => {
    const text = (e.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `<${e.localName}${e.className && e.className.baseVal === undefined ? " class=" + JSON.stringify(e.className) : ""}> ${text}`;
  };

  // A page is settled when formulas and diagrams are drawn and colors have faded in, or have had
  // their time for it.
  async function settled(seconds) {
    const end = performance.now() + 1000 * seconds;
    const done = () =>
      document.readyState === "complete" && document.fonts.status === "loaded" &&
      math().length === 0 && diagrams().length === 0;
    const frames = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
    const moving = () => document.getAnimations().some((e) => e.effect.getComputedTiming().endTime < Infinity);
    await frames();
    while (!done() && performance.now() < end) await new Promise((next) => setTimeout(next, 50));
    await document.fonts.ready;
    await frames();
    while (moving() && performance.now() < end) await frames();
  }

  function math() {
    const raw = [...document.querySelectorAll("article .math")]
      .filter((e) => !e.querySelector("mjx-container"))
      .map((e) => `not drawn: ${what(e)}`);
    const wrong = [...document.querySelectorAll("mjx-merror")].map((e) => `error: ${what(e)}`);
    return [...raw, ...wrong];
  }

  function diagrams() {
    return [...document.querySelectorAll("pre.mermaid")].flatMap((e) => {
      const svg = e.querySelector("svg");
      if (!svg) return e.hasAttribute("data-mermaid-deferred") ? [] : [`not drawn: ${what(e)}`];
      if (svg.getAttribute("aria-roledescription") === "error") return [`syntax error: ${what(e)}`];
      return svg.querySelector("title")?.textContent.trim() ? [] : [`no title: ${what(e)}`];
    });
  }

  // Nothing scrolls the page sideways, and nothing is cut off without a way to scroll to it.
  function width() {
    const found = [];
    const page = document.scrollingElement;
    if (page.scrollWidth > window.innerWidth) {
      const wide = [...document.body.querySelectorAll("*")]
        .filter((e) => visible(e) && e.getBoundingClientRect().right > window.innerWidth + 1);
      found.push(`page is ${page.scrollWidth} px wide: ${wide.slice(-1).map(what)}`);
    }
    for (const e of article().querySelectorAll("*")) {
      if (e.closest("svg, mjx-container, .sd-tab-set > input") || !visible(e)) continue;
      const style = getComputedStyle(e);
      if (e.matches("span.math")) {
        // Beside the formula lies its invisible text for screen readers: measure the formula alone.
        const drawn = e.querySelector("mjx-math");
        if (drawn && drawn.getBoundingClientRect().right > e.getBoundingClientRect().right + 1) found.push(`cut off: ${what(e)}`);
        continue;
      }
      if (["hidden", "clip"].includes(style.overflowX) && e.clientWidth > 1 && e.scrollWidth > e.clientWidth + 1)
        found.push(`cut off: ${what(e)}`);
    }
    return found;
  }

  function words() {
    const named = (e) => e.closest("[aria-hidden=true], [role=presentation]") ||
      e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.querySelector?.("title") ||
      e.closest("button[title], button[aria-label], a[title], a[aria-label]") ||
      e.closest("button, a, summary, label")?.textContent.trim();
    const images = [...document.images].filter((e) => {
      const alt = e.getAttribute("alt");
      if (alt === null) return true;
      if (article().contains(e)) return alt.trim().length < 8 || /\.(svg|png|jpe?g)$/i.test(alt);
      return alt.trim() === "" && !named(e);
    });
    const drawings = [...document.querySelectorAll("svg")].filter((e) => !e.parentElement.closest("svg") && visible(e) && !named(e));
    const buttons = [...document.querySelectorAll("button, a[href]")].filter(
      (e) => visible(e) && !e.textContent.trim() && !e.title && !e.getAttribute("aria-label") &&
        !e.getAttribute("data-bs-original-title") && !e.querySelector("img[alt]:not([alt=''])"));
    return [
      ...images.map((e) => `image without words: ${e.getAttribute("src").slice(0, 80)}`),
      ...drawings.map((e) => `drawing without words in ${what(e.parentElement)}`),
      ...buttons.map((e) => `button or link without words: ${e.outerHTML.slice(0, 80)}`),
    ];
  }

  // WCAG contrast of every visible text against the color behind it.
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map(); // To read a color off a canvas is slow, and a page has few of them.
  function rgba(color) {
    if (known.has(color)) return known.get(color);
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    known.set(color, [r, g, b, a / 255]);
    return known.get(color);
  }
  const over = (top, below) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * below[i]).concat(1);
  function behind(e) {
    const layers = [];
    for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  }
  function luminance(color) {
    const [r, g, b] = color.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function contrast() {
    const found = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const e = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || e.closest("svg, script, style, noscript, template, option, [aria-hidden=true]")) continue;
      if (!visible(e)) continue;
      const style = getComputedStyle(e);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
      const ground = behind(e);
      const ink = over(rgba(style.color), ground);
      const [high, low] = [luminance(ink), luminance(ground)].sort((a, b) => b - a);
      const ratio = (high + 0.05) / (low + 0.05);
      if (ratio < (large ? 3 : 4.5)) {
        const key = `${style.color} on rgb(${ground.slice(0, 3).map(Math.round)})`;
        if (!found.has(key)) found.set(key, `${ratio.toFixed(2)}: ${key}: ${what(e)}`);
      }
    }
    return [...found.values()];
  }

  return {
    settled,
    all: () => ({ math: math(), diagrams: diagrams(), width: width(), words: words(), contrast: contrast() }),
  };
})();
