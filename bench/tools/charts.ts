/**
 * Lines and bars as SVG, drawn by ECharts without a browser.
 *
 * The trap it guards: a chart that was not disposed of keeps the process alive.
 *
 * @module
 */

import * as echarts from "npm:echarts@6.1.0";

/** A named series of one figure for each category or place. */
export interface Series {
  readonly name: string;
  /** Pairs for lines, plain figures for bars; null: not measured. */
  readonly data: readonly (number | null | readonly [number, number])[];
  readonly color: string;
  /** For what is only a mark beside the subject. */
  readonly dashed?: boolean;
}

/** What a chart says besides its series. */
export interface Words {
  readonly title: string;
  readonly subtitle: string;
  readonly x: string;
  readonly y: string;
}

const INK = "#1f2937";
const PALE = "#6b7280";
const GRID = "#e5e7eb";
const FONT = "Helvetica, Arial, DejaVu Sans, sans-serif";

/** A figure as people write it. */
export function figure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(value >= 10 ? 3 : 2)));
}

type Option = Record<string, unknown>;

function draw(width: number, height: number, option: Option): string {
  const chart = echarts.init(null, null, {
    renderer: "svg",
    ssr: true,
    width,
    height,
  });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: FONT, color: INK },
    ...option,
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg + "\n";
}

function title(words: Words): Option {
  return {
    text: words.title,
    subtext: words.subtitle,
    left: 16,
    top: 12,
    itemGap: 6,
    textStyle: { fontSize: 17, fontWeight: 600, color: INK },
    subtextStyle: { fontSize: 12, color: PALE, lineHeight: 16 },
  };
}

function axis(name: string, more: Option): Option {
  return {
    name,
    nameTextStyle: { color: PALE, fontSize: 12 },
    axisLine: { lineStyle: { color: PALE } },
    axisLabel: { color: PALE, fontSize: 12 },
    splitLine: { lineStyle: { color: GRID } },
    ...more,
  };
}

/** 1, 2, 5, 10, 20 and so on, from below the least to above the largest. */
function roundSteps(least: number, largest: number): number[] {
  const steps: number[] = [];
  for (let power = 1; power <= 1e9; power *= 10) {
    for (const digit of [1, 2, 5]) steps.push(digit * power);
  }
  const first = steps.findLastIndex((step) => step <= least);
  const last = steps.findIndex((step) => step >= largest);
  return steps.slice(Math.max(0, first), last + 1);
}

/** Curves on two logarithmic axes, each named at its right end. */
export function lines(
  words: Words,
  ticks: readonly number[],
  series: readonly Series[],
): string {
  const all = series.flatMap(({ data }) =>
    data.flatMap((point) => Array.isArray(point) ? [point[1]] : [])
  );
  const legend = series.map(({ name }) => name);
  const steps = roundSteps(Math.min(...all), Math.max(...all));
  return draw(880, 500, {
    title: title(words),
    legend: {
      data: legend,
      orient: "vertical",
      right: 24,
      top: 84,
      itemWidth: 34,
      textStyle: { color: INK, fontSize: 12 },
    },
    grid: { left: 76, right: 240, top: 92, bottom: 58 },
    xAxis: axis(words.x, {
      type: "log",
      min: Math.min(...ticks),
      max: Math.max(...ticks),
      nameLocation: "middle",
      nameGap: 32,
      axisLabel: {
        color: PALE,
        fontSize: 12,
        customValues: ticks,
        formatter: (tick: number) => tick.toLocaleString("en"),
      },
      axisTick: { customValues: ticks },
    }),
    yAxis: axis(words.y, {
      type: "log",
      min: steps[0],
      max: steps.at(-1),
      nameLocation: "end",
      axisLabel: {
        color: PALE,
        fontSize: 12,
        formatter: figure,
        customValues: steps,
      },
      axisTick: { customValues: steps },
      splitLine: { show: false },
    }),
    series: series.map(({ name, data, color, dashed }, index) => ({
      name,
      type: "line",
      markLine: index > 0 ? undefined : {
        silent: true,
        z: 0,
        symbol: "none",
        label: { show: false },
        lineStyle: { color: GRID, type: "solid" },
        data: steps.map((yAxis) => ({ yAxis })),
      },
      data,
      symbol: dashed ? "emptyCircle" : "circle",
      symbolSize: 7,
      itemStyle: { color },
      lineStyle: {
        color,
        width: dashed ? 1.5 : 2.5,
        type: dashed ? "dashed" : "solid",
      },
    })),
  });
}

/** Bars that lie, one group for each category, figures at their ends. */
export function bars(
  words: Words,
  categories: readonly string[],
  series: readonly Series[],
  log = false,
): string {
  const thick = series.length === 1 ? 20 : 13;
  const height = 124 + categories.length * (series.length * thick + 16);
  return draw(860, height, {
    title: title(words),
    legend: series.length === 1 ? { show: false } : {
      right: 20,
      top: 44,
      itemGap: 24,
      itemWidth: 14,
      itemHeight: 10,
      textStyle: { color: INK, fontSize: 12 },
    },
    grid: { left: 170, right: 90, top: 76, bottom: 44 },
    xAxis: axis(words.x, {
      type: log ? "log" : "value",
      nameLocation: "middle",
      nameGap: 28,
      axisLabel: { color: PALE, fontSize: 12, formatter: figure },
    }),
    yAxis: axis("", {
      type: "category",
      data: categories,
      inverse: true,
      axisTick: { show: false },
      axisLabel: { color: INK, fontSize: 13 },
    }),
    series: series.map(({ name, data, color }) => ({
      name,
      type: "bar",
      barWidth: thick - 2,
      data: data.map((value, index) => ({
        value: value ?? "-",
        itemStyle: {
          color: categories[index]?.startsWith("greenhub")
            ? color
            : fade(color),
        },
      })),
      itemStyle: { color },
      label: {
        show: true,
        position: "right",
        color: INK,
        fontSize: 11,
        formatter: ({ value }: { value: unknown }) =>
          typeof value === "number" ? figure(value) : "",
      },
    })),
  });
}

/** A colour as it is beside the one that matters. */
function fade(color: string): string {
  const parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return `rgb(${
    parts.map((part) => Math.round(part + (255 - part) * 0.55)).join(",")
  })`;
}
